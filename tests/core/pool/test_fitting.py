"""Whether an old sample still fits: tasks with passages, conversations, and templates of the user's."""

from pathlib import Path

import pytest
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop
from wheelwork.core.pool.fitting import renewed
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.pool.rows import sample
from wheelwork.tests.e2e.command import tiny_loop


def resaid(old: Sample, **changes: object) -> Sample:
    turns = tuple(turn for turn in old.messages if turn.role != "system")
    said = (Message(role="system", content="An old prompt."), *turns)
    return old.model_copy(update={"messages": said} | changes)


@pytest.mark.parametrize("scenario", ["home_broadband", "policy_qa", "support_dialogue"])
def test_every_seed_fits_and_one_under_an_old_prompt_is_made_the_same_again(scenario: str) -> None:
    material = load_loop(find_loop(scenario)).material
    for seed in material.seed_samples():
        assert renewed(seed, material) == seed
        again = renewed(resaid(seed), material)
        assert isinstance(again, Sample) and (again.messages, again.id) == (seed.messages, seed.id)


def test_what_cannot_be_asked_any_more_says_why() -> None:
    material = load_loop(find_loop("policy_qa")).material
    seed = next(seed for seed in material.seed_samples() if seed.controls.get("passage"))
    assert renewed(seed.model_copy(update={"controls": {"passage": "handbook#99"}}), material) == "passage_gone"
    assert renewed(seed.model_copy(update={"task": "qa"}), material) == "other_task"
    assert renewed(seed.model_copy(update={"messages": seed.messages[:2]}), material) == "no_answer"


def test_a_template_that_wraps_what_is_said_is_not_put_on_twice(tmp_path: Path) -> None:
    folder = tiny_loop(tmp_path / "loop", models=False)
    packaged = (Path(__file__).parents[3] / "prompts" / "en" / "classify" / "answer.md").read_text(encoding="utf-8")
    (folder / "prompts" / "en" / "classify").mkdir(parents=True)
    wrapping = packaged.replace("{{ text }}", "Message: {{ text }}")
    (folder / "prompts" / "en" / "classify" / "answer.md").write_text(wrapping, encoding="utf-8")
    material = load_loop(folder).material
    seed = material.seed_samples()[0]
    assert seed.prompt.startswith("Message: ")
    assert renewed(seed, material) == seed
    assert renewed(resaid(seed), material) == "other_prompt"


def test_a_label_that_is_gone_is_told() -> None:
    material = load_loop(find_loop("home_broadband")).material
    assert renewed(sample("no light", "nowhere"), material) == "unknown_label"
