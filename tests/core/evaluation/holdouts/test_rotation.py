"""A fresh holdout from the reserve: stratified, never a row that was seen, the old one kept, who and why on record."""

import json
from collections import Counter
from pathlib import Path

import pytest
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.evaluation.holdouts.rotation import LOG, read_reserve, rotate, rotations
from wheelwork.core.evaluation.holdouts.texts import Said
from wheelwork.core.loops import Loop, load_loop
from wheelwork.tests.e2e.command import rows, tiny_loop, write_rows

NOON = 1_800_000_000.0
GUARD = {"role": "guard", "path": "general.jsonl", "scorer": {"kind": "matches"}, "prompt": "plain", "margin": 0.3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = {"role": "target", "path": "holdout.jsonl", "reserve": "reserve.jsonl"}
    made = tiny_loop(tmp_path / "loop", models=False, suites={"holdout": target, "general": GUARD})
    write_rows(made / "reserve.jsonl", rows(40, start=300))
    return made


def turned(folder: Path, n: int | None = None, seed: int = 0, trained: list[Said] | None = None) -> Loop:
    loop = load_loop(folder)
    reserve = read_reserve(loop, "holdout", None, trained or [])
    rotate(loop, "holdout", reserve, n=n, seed=seed, who="ann", why="worn", clock=lambda: NOON)
    return load_loop(folder)


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_rotation_draws_as_many_of_each_label_and_keeps_the_old_ones(folder: Path) -> None:
    before = load_loop(folder).suites["holdout"]
    old = (folder / "holdout.jsonl").read_bytes()
    after = turned(folder).suites["holdout"]
    assert Counter(item.label for item in after.items) == Counter(item.label for item in before.items)
    assert set(texts(folder / "holdout.jsonl")) <= set(texts(folder / "reserve.jsonl"))
    assert (folder / f"holdout.2027-01-15-{before.digest[:8]}.jsonl").read_bytes() == old
    (told,) = rotations(folder)
    assert (told.who, told.why, told.before, told.after) == ("ann", "worn", before.digest, after.digest)
    assert (told.rows, told.left, told.at) == (48, 72, "2027-01-15T08:00:00+00:00")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_no_row_is_ever_drawn_twice(folder: Path) -> None:
    seen: set[str] = set(texts(folder / "holdout.jsonl"))
    for seed in range(2):
        turned(folder, seed=seed)
        fresh = set(texts(folder / "holdout.jsonl"))
        assert not fresh & seen
        seen |= fresh
    with pytest.raises(
        DataError, match=r"8 fresh rows are left for `line`, and 16 are needed \(and too few for 2 more"
    ):
        turned(folder)
    assert len(turned(folder, n=24).suites["holdout"].items) == 24


def test_the_same_seed_draws_the_same(folder: Path, tmp_path: Path) -> None:
    drawn = []
    for seed in (5, 5, 6):
        copy = tiny_loop(
            tmp_path / f"{len(drawn)}", models=False, suites={"holdout": {"role": "target", "path": "holdout.jsonl"}}
        )
        loop = load_loop(copy)
        rotate(loop, "holdout", read_reserve(loop, "holdout", folder / "reserve.jsonl"), seed=seed, clock=lambda: NOON)
        drawn.append(texts(copy / "holdout.jsonl"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_is_trained_on_or_asked_elsewhere_is_never_drawn(folder: Path) -> None:
    reserve = rows(40, start=300)
    write_rows(folder / "seeds.jsonl", [*rows(4), {**reserve[0], "text": reserve[0]["text"].upper()}])
    trained = [Said(reserve[1]["text"], "s", "pool")]
    left = read_reserve(load_loop(folder), "holdout", None, trained)
    assert left.rows == 120 and set(left.items) == set(range(3, 121))


def test_mistakes_are_told(folder: Path) -> None:
    loop = load_loop(folder)
    with pytest.raises(ConfigError, match=r"`suites\.general` has no `reserve`"):
        read_reserve(loop, "general", None)
    with pytest.raises(DataError, match="no suite `holdut`; did you mean `holdout`"):
        read_reserve(loop, "holdut", None)
    write_rows(folder / "reserve.jsonl", [{"text": "a b c", "label": "lime"}])
    with pytest.raises(DataError, match=r"reserve\.jsonl:1: unknown label `lime`; did you mean `line`"):
        read_reserve(loop, "holdout", None)


def test_a_suite_that_other_loops_may_share_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (folder / "holdout.jsonl").rename(tmp_path / "shared.jsonl")
    suites = {"holdout": {"role": "target", "path": "../shared.jsonl", "reserve": "reserve.jsonl"}}
    loop = load_loop(tiny_loop(folder, models=False, suites=suites))
    write_rows(folder / "reserve.jsonl", rows(40, start=300))
    with pytest.raises(ConfigError, match="lies outside of the loop's folder"):
        rotate(loop, "holdout", read_reserve(loop, "holdout", None))


def test_a_log_that_was_cut_short_or_damaged(folder: Path) -> None:
    turned(folder)
    log = folder / LOG
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"at": "20')
    assert len(rotations(folder)) == 1
    turned(folder, seed=1)
    assert len(rotations(folder)) == 2
    log.write_bytes(b"{}\n" + whole)
    with pytest.raises(DataError, match=r"rotations\.jsonl:\d+: this line of the rotations is damaged"):
        rotations(folder)
