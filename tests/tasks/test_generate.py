"""The step that varies samples in a round: its children, and more of them for what the funnel left scarce."""

from collections import Counter
from pathlib import Path

import pytest
from prefect import flow
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.generation.example import Example
from wheelwork.core.loops import load_loop
from wheelwork.core.rounds import Site
from wheelwork.tasks.generate import vary_samples
from wheelwork.tests.core.test_chat_mock_teacher import mock_teacher
from wheelwork.tests.e2e.command import LABELS, WORDS, rows, tiny_loop
from wheelwork.tests.tiny import tiny_bert


@pytest.mark.usefixtures("prefect")
def test_labels_below_their_quota_get_more_children(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, float], float, list[int]]] = [
        ({}, 0.0, [8, 4, 4]),
        ({}, 1.0, [8, 7, 6]),  # 32 parents and children, so 11, 11 and 10
        ({"line": 4}, 1.0, [14, 4, 4]),  # 22, 5 and 5
        ({"line": 4}, 0.25, [12, 4, 4]),
    ]
    with mock_teacher() as url:
        for quotas, long_tail, children in cases:
            assert children_by_label(tmp_path, url, quotas, long_tail) == dict(zip(LABELS, children, strict=True))


def children_by_label(folder: Path, url: str, quotas: dict[str, float], long_tail: float) -> dict[str | None, int]:
    """One child of each parent and more: of four seeds a label, and four of `line` that a funnel kept."""
    augment = {"operations": [{"kind": "paraphrase", "times": 1}], "long_tail": long_tail}
    loop = load_loop(
        tiny_loop(
            folder / "loop",
            models=False,
            teacher={"kind": "openai", "base_url": url, "model": "mock"},
            generate={"quotas": quotas, "augment": augment},
        )
    )
    tiny_bert(loop.folder / "encoder", WORDS)
    site = Site(loop=loop.folder, home=folder / "home")
    store = ArtifactStore(site.artifacts)
    kept = [
        loop.material.writing.sample(Example(text=row["text"], answer="line", label="line"), origin="teacher")
        for row in rows(4, start=50)
        if row["label"] == "line"
    ]
    asked = (
        site,
        store.write_samples(kept),
        loop.settings.generate.augment,
        (),
        loop.digest,
        "teacher",
        "seeds",
        "encoder",
    )
    made = flow(vary_samples.fn)(*asked)  # in a run of its own, as its progress has a page there
    return dict(Counter(child.label for child in store.samples(made.samples)))
