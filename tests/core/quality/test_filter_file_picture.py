"""The picture of a funnel: whole in itself, and with every figure."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from wheelwork.core.errors import ConfigError
from wheelwork.core.quality.files.picture import levels, picture, write_picture
from wheelwork.core.quality.files.run import Filtered
from wheelwork.tests.core.quality.filtering import ROWS, run, write

# the picture


@pytest.fixture
def result(tmp_path: Path) -> Iterator[Filtered]:
    source = write(tmp_path / "in.jsonl", [*ROWS, {"text": 1.5, "label": "x"}])
    yield run(source, tmp_path / "out.jsonl")


def test_the_bars_add_up(result: Filtered) -> None:
    bars = levels(result)
    assert [(bar.name, bar.rows) for bar in bars] == [("read", 6), ("rules", 5), ("exact_duplicates", 4), ("kept", 3)]
    for bar, below in pairwise(bars):
        assert bar.rows - sum(rows for _, rows in bar.drops) == below.rows


def test_the_picture_is_whole_in_itself_and_says_every_figure(result: Filtered, tmp_path: Path) -> None:
    drawn = ElementTree.fromstring(picture(levels(result), "a <b> & c"))
    name = "{http://www.w3.org/2000/svg}"
    assert drawn.find(f"{name}title").text == "a <b> & c"  # type: ignore[union-attr]
    said = [title.text for title in drawn.iter(f"{name}title")]
    assert {"quarantined: 1", "too_short: 1", "duplicate: 1", "kept: 3 go on"} <= set(said)
    assert "href" not in picture(levels(result), "x")
    write_picture(tmp_path / "funnel.html", result, "a <b>")
    assert "<title>a &lt;b&gt;</title>" in (tmp_path / "funnel.html").read_text()
    with pytest.raises(ConfigError, match=r"must end in \.svg or \.html"):
        write_picture(tmp_path / "funnel.png", result, "x")
