"""CLIPScore: how well the text of a row fits its picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ...evaluation.scorers import Score
from ...models.pretrained import device, load_whole
from ...samples import Sample
from ..context import FunnelContext, Judgements, Need
from ..parts import ANSWER, texts_of
from .bounds import Bounded
from .models import Found

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 16  # pictures that are in memory together


class ClipScore(Bounded):
    """Score how well text and picture fit: `clip_score`, 100 · max(cosine, 0) (Hessel et al. 2021, "CLIPScore").

    The paper's own scale is 2.5 · max(cosine, 0). Good pairs of the usual CLIP models lie about 25 to 35. A row without
    a picture, or with one that cannot be read, is unscored.
    """

    needs: ClassVar[tuple[Need, ...]] = ("models",)
    score: ClassVar[str] = "clip_score"
    least: ClassVar[float] = 0.0
    most: ClassVar[float] = 100.0

    kind: Literal["clip_score"] = "clip_score"
    model: str = Field(min_length=1, description="a folder or hub id of a CLIP model, as transformers saves one")
    image: str = Field(
        "image",
        min_length=1,
        description="the control or column with the path of the picture; it starts at the loop's folder, or at that of "
        "the file that is filtered",
    )
    of: Literal["answer", "prompt", "label"] = Field(
        "answer", description="the text: the last answer, or where there is none the prompt; the prompt; or the label"
    )
    caption: str = Field(
        "{}", pattern=r"\{\}", description="what is said of the picture; {} is the text, such as `a photo of a {}`"
    )

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that are asked."""
        return (self.model,)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a file that are read as controls."""
        return (self.image,)

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        clip = context.models(self.model, Clip.load)
        found: list[Score] = []
        cut = 0
        with context.models.showing(self.kind, len(batch)) as show:
            for start in range(0, len(batch), BATCH):
                pairs = [self._pair(sample, context.models.images) for sample in batch[start : start + BATCH]]
                both = [pair for pair in pairs if isinstance(pair, Shown)]
                cut += clip.cut([pair.text for pair in both])
                cosines = iter(clip(both))
                found += [_score(next(cosines)) if isinstance(pair, Shown) else pair for pair in pairs]
                show(len(found))
        return self.judged(found, remarks={f"were cut at {clip.most_tokens} tokens": cut} if cut else None)

    def _pair(self, sample: Sample, folder: Path) -> "Shown | Score":
        text = sample.prompt
        if self.of == "label":
            text = (sample.label or "").replace("_", " ")
        elif self.of == "answer":
            text = next(texts_of(sample, ANSWER), text)
        if not text.strip():
            return Score.unscored("no_text")
        if not (path := sample.controls.get(self.image, "").strip()):
            return Score.unscored("no_image")
        image = read_image(folder / Path(path).expanduser())
        return image if isinstance(image, Score) else Shown(self.caption.replace("{}", text), image)


class Shown(NamedTuple):
    """A text, and the picture that it is said of."""

    text: str
    image: "Image"


class Clip:
    """A CLIP model: texts and pictures to cosines."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self.most_tokens = int(model.config.text_config.max_position_embeddings)

    @classmethod
    def load(cls, found: Found) -> "Clip":
        """The model, on the GPU where there is one. Raises ModelError for what is no CLIP model."""
        from transformers import CLIPModel, CLIPProcessor

        model, processor = load_whole(found.files, "CLIP model", CLIPModel, CLIPProcessor)
        return cls(model.to(device()).eval(), processor)

    def __call__(self, pairs: Sequence[Shown]) -> list[float]:
        """The cosine of text and picture of each pair."""
        import torch

        if not pairs:
            return []
        inputs = self._processor(
            text=[pair.text for pair in pairs],
            images=[pair.image for pair in pairs],
            padding=True,
            truncation=True,
            max_length=self.most_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            said = self._model(**inputs.to(self._model.device))
            units = [
                torch.nn.functional.normalize(part.float(), dim=-1) for part in (said.text_embeds, said.image_embeds)
            ]
            cosines: list[float] = (units[0] * units[1]).sum(dim=-1).tolist()
        return cosines

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than what the model reads."""
        ids = self._processor.tokenizer(list(texts), verbose=False)["input_ids"] if texts else []
        return sum(len(one) > self.most_tokens for one in ids)


def read_image(path: Path) -> "Image | Score":
    """The picture in `path`, or why there is none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        return Score.unscored("image_not_found")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # as Pillow's readers fail
        return Score.unscored("image_unreadable")


def _score(cosine: float) -> Score:
    return Score(min(100.0, 100 * max(cosine, 0.0))) if np.isfinite(cosine) else Score.unscored("not_finite")
