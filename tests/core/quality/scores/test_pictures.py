"""CLIPScore on a random CLIP: the cosine, and pictures that are missing or broken."""

from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError
from wheelwork.core.errors import ModelError
from wheelwork.core.quality.scores.pictures import Clip, ClipScore
from wheelwork.tests.core.quality.scores.rows import context, found, row, through
from wheelwork.tests.tiny import tiny_bert, tiny_clip

WORDS = ["red", "blue", "square", "a", "photo", "of"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip") / "model", WORDS, seed=3)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for at in range(24):
        shade = Image.linear_gradient("L").rotate(15 * at).resize((20 + at, 24))
        Image.merge("RGB", (shade, shade.rotate(180), Image.new("L", shade.size, 10 * at))).save(folder / f"{at}.png")
    Image.new("LA", (9, 9), 120).save(folder / "grey.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:60])
    (folder / "text.png").write_text("no picture")
    return folder


def by_hand(folder: Path, text: str, picture: Path) -> float:
    """The cosine of one pair, by the two towers of the model."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    with torch.no_grad():
        words = model.text_model(**processor.tokenizer([text], return_tensors="pt")).pooler_output
        pixels = processor.image_processor([Image.open(picture).convert("RGB")], return_tensors="pt")
        seen = model.vision_model(**pixels).pooler_output
        return float(torch.cosine_similarity(model.text_projection(words), model.visual_projection(seen))[0])


def test_it_is_100_times_the_cosine_and_never_below_0(clip: Path, pictures: Path) -> None:
    texts = ["red square", "blue", "a photo of a red square", "blue blue blue"]
    rows = [row(texts[at % 4], image=f"{at}.png") for at in range(24)]  # more than a batch
    scores = ClipScore(model="clip")(rows, context({"clip": clip}, pictures)).scores["clip_score"]
    for at in (0, 1, 5, 22):
        cosine = by_hand(clip, texts[at % 4], pictures / f"{at}.png")
        assert scores[at] == pytest.approx(100 * max(cosine, 0), abs=1e-3)
    assert all(score is not None and 0 <= score <= 100 for score in scores)
    assert any(score for score in scores), "a random model has some cosines above 0"


def test_what_has_no_picture_is_unscored_with_a_count_and_stops_nothing(clip: Path, pictures: Path) -> None:
    named = ["broken.png", "text.png", "nowhere.png", "", "grey.png", str(pictures / "1.png")]
    rows = [row("red", image=name) for name in named] + [row("blue"), row(" ", image="1.png")]
    kept, dropped, count = through(ClipScore(model="clip"), rows, context({"clip": clip}, pictures))
    assert ["clip_score" in sample.scores for sample in kept] == [False] * 4 + [True] * 2 + [False] * 2
    (note,) = count.notes
    assert "6 of 8 rows could not be scored (image_not_found 1, image_unreadable 2, no_image 2, no_text 1)" in note
    _, dropped, _ = through(ClipScore(model="clip", unscored="drop"), rows, context({"clip": clip}, pictures))
    assert {sample.reject_reason for sample in dropped} == {"clip_score_unscored"} and len(dropped) == 6


def test_the_text_may_be_answer_prompt_or_label(clip: Path, pictures: Path) -> None:
    within = context({"clip": clip}, pictures)

    def score(judge: ClipScore, *rows: object) -> float | None:
        return judge(rows, within).scores["clip_score"][0]  # type: ignore[arg-type]

    shown = Clip.load(found(clip))
    assert shown.cut(["red " * 30, "blue"]) == 1
    both, labelled = row("red", "blue blue", image="2.png"), row("red", label="red_square", image="2.png")
    assert score(ClipScore(model="clip"), both) == score(ClipScore(model="clip"), row("blue blue", image="2.png"))
    assert score(ClipScore(model="clip", of="prompt"), both) == score(
        ClipScore(model="clip"), row("red", image="2.png")
    )
    assert score(ClipScore(model="clip", of="label", caption="a photo of a {}"), labelled) == score(
        ClipScore(model="clip"), row("a photo of a red square", image="2.png")
    )


def test_a_long_text_is_cut_and_told(clip: Path, pictures: Path) -> None:
    *_, count = through(ClipScore(model="clip"), [row("red " * 90, image="1.png")], context({"clip": clip}, pictures))
    assert count.notes == ("clip_score: 1 of 1 rows were cut at 24 tokens.",)


def test_another_model_and_a_caption_without_its_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded as a CLIP model"):
        Clip.load(found(tiny_bert(tmp_path / "bert", WORDS)))
    with pytest.raises(ValidationError, match="caption"):
        ClipScore(model="clip", caption="a photo")
