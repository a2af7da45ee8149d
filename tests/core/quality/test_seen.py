"""What was seen before: nothing is forgotten, little is taken for known, and a killed run has seen nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import BusyError, ConfigError, DataError
from wheelwork.core.parallel import in_processes
from wheelwork.core.quality.bloom import Bloom
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.files.run import Filtered, filter_file
from wheelwork.core.quality.files.writing import writing_rows
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.seen import SeenBefore, alone_with

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=300, unique=True)


@settings(deadline=None, max_examples=60)
@given(HASHES, st.integers(1, 400), st.sampled_from([0.5, 0.01, 1e-6]))
def test_nothing_that_was_added_is_forgotten(values: list[int], capacity: int, error: float) -> None:
    bloom, hashes = Bloom(capacity, error), np.array(values, dtype=np.uint64)
    assert not bloom.holds(hashes).any()
    bloom.add(hashes)
    assert bloom.holds(hashes).all() and bloom.held == len(values)
    assert all(value in bloom for value in values[:3])


@pytest.mark.parametrize("error", [0.1, 0.01, 0.001])
def test_a_full_filter_takes_no_more_than_its_share_of_new_ones_for_known(error: float) -> None:
    draw = np.random.default_rng(4)
    values = draw.integers(0, 2**64, size=420_000, dtype=np.uint64)
    bloom = Bloom(20_000, error)
    bloom.add(values[:20_000])
    share = bloom.holds(values[20_000:]).mean()
    spread = 4 * np.sqrt(error / 400_000)
    assert share <= error * 1.02 + spread, "k is a whole number, which costs up to 2 %"
    assert share == pytest.approx(bloom.false_positives, abs=spread + error / 10)


def test_a_file_gives_the_same_filter_back_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    bloom, path = Bloom(500, 0.01), tmp_path / "seen.bloom"
    bloom.add(np.arange(400, dtype=np.uint64))
    bloom.write(path)
    again = Bloom.read(path)
    assert (again.capacity, again.error, again.held) == (500, 0.01, 400)
    assert again.holds(np.arange(400, dtype=np.uint64)).all()
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(spoilt)
        with pytest.raises(DataError, match="damaged"):
            Bloom.read(path)
    path.write_text("hello\n")
    with pytest.raises(DataError, match="this is no file of texts seen before"):
        Bloom.read(path)


# over files


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def run(folder: Path, texts: list[str], name: str = "in", **rest: object) -> Filtered:
    given = {"file": str(folder / "seen.bloom"), "capacity": 1000} | rest.pop("filter", {})  # type: ignore[operator]
    source = write(folder / f"{name}.jsonl", texts)
    funnel = Funnel(filters=(SeenBefore(**given),))
    return filter_file(source, folder / f"{name}.out.jsonl", funnel, FunnelContext(None), **rest)  # type: ignore[arg-type]


def texts_of(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def test_a_second_file_loses_what_the_first_one_had(tmp_path: Path) -> None:
    first = run(tmp_path, ["one", "two", "One!", "three"], "first")
    assert (first.kept, first.dropped) == (3, {"seen_before": 1})
    (dropped,) = (tmp_path / "first.out.dropped.jsonl").read_text().splitlines()
    assert json.loads(dropped)["duplicate_of"] == "first.jsonl:1"
    second = run(tmp_path, ["four", "TWO", "three", "four"], "second")
    assert texts_of(tmp_path / "second.out.jsonl") == ["four"] and second.dropped == {"seen_before": 3}
    figures = second.filters[0].figures
    assert (figures["held"], figures["capacity"]) == (4, 1000) and figures["error"] < 1e-4


def test_several_processes_see_what_one_sees(tmp_path: Path) -> None:
    texts = [f"row {n % 3000}" for n in range(6000)]
    results = []
    for name, more in (("alone", {}), ("together", {"each": in_processes(2)})):
        folder = tmp_path / name
        folder.mkdir()
        results.append(run(folder, texts, filter={"capacity": 5000}, **more))
        assert texts_of(folder / "in.out.jsonl") == texts[:3000]
    assert (tmp_path / "alone/seen.bloom").read_bytes() == (tmp_path / "together/seen.bloom").read_bytes()
    assert results[0].dropped == results[1].dropped == {"seen_before": 3000}


def test_a_run_that_does_not_end_has_seen_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, ["one"], "first")
    before = (tmp_path / "seen.bloom").read_bytes()

    def full(*_: object) -> object:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("wheelwork.core.quality.files.run.writing_rows", full)
        with pytest.raises(Exception, match="the disk is full"):
            run(tmp_path, ["two"], "second")
    assert (tmp_path / "seen.bloom").read_bytes() == before and writing_rows is not full
    assert run(tmp_path, ["two"], "second").kept == 1


def test_a_full_file_says_so_and_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, ["one", "two"], "a", filter={"capacity": 2}).filters[0].notes == ()
    (note,) = run(tmp_path, ["three"], "b", filter={"capacity": 2}).filters[0].notes
    assert "holds 3 texts and was made for 2" in note and "begin a larger file" in note


def test_two_runs_at_once_and_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path, ["one"])
    with pytest.raises(ConfigError, match=r"made for a capacity of 1000 and an error of 0.0001"):
        run(tmp_path, ["two"], filter={"capacity": 2000})
    with alone_with([tmp_path / "seen.bloom"]), pytest.raises(BusyError, match="another run"):
        run(tmp_path, ["two"])
    with pytest.raises(ConfigError, match="would be written over"):
        run(tmp_path, ["two"], filter={"file": str(tmp_path / "in.out.jsonl")})
