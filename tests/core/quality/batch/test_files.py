"""A file beside a reference file: columns of numbers, scores of the funnel, and the same result in every kind."""

import json
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import DataError
from wheelwork.core.quality.batch.check import Checked
from wheelwork.core.quality.batch.settings import Batch
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.files.beside import comparison, picture_beside
from wheelwork.core.quality.files.picture import write_svg
from wheelwork.core.quality.files.run import filter_file
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.tests.fakes import FakeEncoder

FUNNEL = Funnel(filters=(PersonalData(action="mask"), Rules(banned=())))


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        head = ",".join(rows[0])
        path.write_text("\n".join([head, *(",".join(map(str, row.values())) for row in rows)]) + "\n", encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def priced(count: int, price: float) -> list[dict[str, Any]]:
    """Rows of three labels; every tenth is too short to be kept, and one holds an address."""
    return [
        {
            "id": n,
            "text": "no" if n % 10 == 9 else f"the line {n} of {'jo@example.com' if n == 3 else 'mine'} is down",
            "label": "abc"[n % 3],
            "price": round(price + n % 7, 2),
            "note": "none",
        }
        for n in range(count)
    ]


def compared(source: Path, reference: Path, out: Path, settings: Batch | None = None) -> Checked:
    found = comparison(reference, settings or Batch())
    filter_file(source, out, FUNNEL, FunnelContext(None), watch=found.kept, numbers=found.numbers)
    return found.finish(FakeEncoder())


@pytest.mark.parametrize("kind", [".jsonl", ".csv"])
def test_columns_of_numbers_are_compared_and_what_is_dropped_is_not_counted(tmp_path: Path, kind: str) -> None:
    source, reference = (written(tmp_path / f"{name}{kind}", priced(120, p)) for name, p in (("in", 90), ("ref", 5)))
    plain = tmp_path / f"plain{kind}"
    checked = compared(source, reference, tmp_path / f"out{kind}")
    filter_file(source, plain, FUNNEL, FunnelContext(None))
    assert plain.read_bytes() == (tmp_path / f"out{kind}").read_bytes(), "looking changes nothing"
    assert (checked.report.kept, checked.report.reference) == (108, 120)
    found = {(one.check, one.of): one for one in checked.report.findings}
    assert {of for _, of in found} == {"words", "characters", "price", "labels", "embeddings", "texts"}
    assert found["ks", "price"].outcome == found["psi", "price"].outcome == "warn"
    assert found["kl", "labels"].outcome == "fine" and found["kl", "labels"].p_value is not None


def test_the_same_file_twice_is_fine(tmp_path: Path) -> None:
    rows = [row for row in priced(100, 5) if row["text"] != "no"]
    source = written(tmp_path / "in.jsonl", rows)
    report = compared(source, written(tmp_path / "ref.jsonl", rows), tmp_path / "out.jsonl").report
    assert {one.check for one in report.of("warn")} == {"cosine_within", "cosine"}, "they are all of one pattern"


def test_only_so_many_texts_of_a_file_are_embedded(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", priced(400, 5))
    report = compared(source, source, tmp_path / "out.jsonl", Batch(rows=100)).report
    assert report.notes == (
        "Embeddings are those of 100 of 360 kept rows, drawn by the seed.",
        "Embeddings are those of 100 of 400 reference rows, drawn by the seed.",
    )


def test_a_reference_row_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "ref.jsonl", [{"text": "so it is", "label": "a"}, {"text": ["odd"], "label": "a"}])
    with pytest.raises(DataError, match=r"ref\.jsonl:2: "):
        comparison(path, Batch())


def test_the_picture_lies_beside_the_funnels_as_a_page_or_alone(tmp_path: Path) -> None:
    assert picture_beside(Path("a/p.svg")) == Path("a/p.batch.svg")
    write_svg(tmp_path / "p.html", '<?xml version="1.0"?>\n<svg xmlns="x"></svg>', "<t>")
    page = (tmp_path / "p.html").read_text()
    assert "<?xml" not in page and '<svg xmlns="x"></svg></body>' in page and "<title>&lt;t&gt;</title>" in page
