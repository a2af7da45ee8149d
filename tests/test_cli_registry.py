"""`wheelwork history` and `wheelwork rollback`, as typed, on a real registry."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner
from wheelwork.blocks.registry import ModelRegistry, moves_of
from wheelwork.blocks.tracking import Tracking
from wheelwork.cli import app
from wheelwork.cli_registry import WORDS
from wheelwork.core.errors import ConfigError, RegistryError
from wheelwork.core.registry.journal import CHAMPION, Journal, Kind
from wheelwork.tests.core.registry.parts import judged
from wheelwork.tests.e2e.command import tiny_loop


class Place:
    """A loop with a state folder, and its registry."""

    def __init__(self, folder: Path) -> None:
        self.loop = str(tiny_loop(folder / "loop", models=False))
        self.home = folder / "home"
        self._adapter = folder / "adapter"
        self._adapter.mkdir()
        (self._adapter / "adapter_model.safetensors").write_bytes(b"weights")

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry("tiny")

    @property
    def journal(self) -> Journal:
        return moves_of("tiny", self.home).journal

    def promote(self, *verdicts: str) -> None:
        """Rounds that end with these verdicts, each against the champion before."""
        tracking = Tracking("tiny", self.home)
        for verdict in verdicts:
            number = len(list(self.journal.entries())) + 1
            run = tracking.open_run(f"{number:04d}-abc", {})
            version = self.registry.register(run, self._adapter, f"adapter-{number}", {})
            told = judged(version, self.registry.aliases().get(CHAMPION), verdict, adapter=f"adapter-{number}")
            moves_of("tiny", self.home, "brave-fox").judge(told)

    def run(self, *arguments: str) -> str:
        ran = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "220"})
        if ran.exception is not None:
            raise ran.exception
        return " ".join(ran.output.split())

    def told(self, *options: str) -> dict[str, Any]:
        ran = CliRunner().invoke(app, ["history", self.loop, "--json", *options])
        told: dict[str, Any] = json.loads(ran.output)
        return told


@pytest.fixture
def place(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    yield Place(tmp_path)
    os.environ.clear()  # the command points Prefect and others at its folder
    os.environ.update(before)


def test_a_loop_without_a_history_says_what_to_do(place: Place) -> None:
    assert f"tiny: nothing was promoted or judged here yet; run `wheelwork improve {place.loop}`" in place.run(
        "history", place.loop
    )
    with pytest.raises(RegistryError, match="has no champion yet, so there is nothing to go back from"):
        place.run("rollback", place.loop)
    assert not (place.home / "registry").exists()


def test_nothing_is_imported_where_there_is_no_mlflow(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "nothing was promoted" in place.run("history", place.loop)
    with pytest.raises(RegistryError, match="nothing to go back from"):
        place.run("rollback", place.loop)
    assert not place.home.exists()


def test_history_tells_who_what_why_and_with_which_figures(place: Place) -> None:
    place.promote("promoted", "rejected", "promoted")
    place.run("rollback", place.loop, "--reason", "rude answers")
    said = place.run("history", place.loop)
    for part in (
        "judged rejected", "promoted", "champion: none → 1", "champion: 1 → 3", "champion: 3 → 1", "rolled back",
        "rude answers", "brave-fox", "holdout 0.900 (+0.100, p 0.01)",
        "tiny: version 1, rolled back by", "lines, each sealed with the one before",
    ):  # fmt: skip
        assert part in said, part


def test_history_as_json_holds_every_line(place: Place) -> None:
    place.promote("promoted")
    told = place.told()
    assert (told["loop"], told["verified"], told["champion"]) == ("tiny", True, "1")
    assert told["entries"] == [entry.model_dump(mode="json") for entry in place.journal.entries()]
    assert [entry["state"] for entry in told["entries"]] == ["begun", "done"] * 2


def test_what_was_champion_then(place: Place) -> None:
    place.promote("promoted", "promoted")
    assert place.told("--at", "now")["at"]["champion"] == "2"
    then = place.told("--at", "2h ago")["at"]
    assert (then["champion"], then["known"]) == (None, False)
    assert "no champion is known of; the first that is known of became so" in place.run(
        "history", place.loop, "--at", "yesterday"
    )
    first = next(entry for entry in place.journal.entries() if entry.moved and entry.move.alias == CHAMPION)
    assert place.told("--at", first.at)["at"]["champion"] == "1"
    assert "tiny at" in place.run("history", place.loop, "--at", "now")
    with pytest.raises(ConfigError, match="--at soon: is no time"):
        place.run("history", place.loop, "--at", "soon")


def test_a_hand_in_mlflow_is_seen_by_the_next_command(place: Place) -> None:
    place.promote("promoted", "promoted")
    place.registry.point(CHAMPION, "1")
    assert "moved outside" in place.run("history", place.loop)
    assert place.told()["champion"] == "1"


def test_a_tampered_journal_is_named_by_its_line(place: Place) -> None:
    place.promote("promoted")
    path = place.journal.path
    path.write_bytes(path.read_bytes().replace(b'"ann"', b'"bob"').replace(b"0.9", b"0.7"))
    for command in ("history", "rollback"):
        with pytest.raises(RegistryError, match=r"tiny\.journal\.jsonl:1: this line of the journal was changed"):
            place.run(command, place.loop)
    assert place.registry.aliases()[CHAMPION] == "1"


def test_rollback_twice_is_as_once(place: Place) -> None:
    place.promote("promoted", "promoted")
    assert "tiny: version 1 is champion; before: version 2." in place.run("rollback", place.loop)
    lines = place.journal.path.read_bytes()
    assert "tiny: nothing to do, version 1 is champion already, since" in place.run("rollback", place.loop)
    assert place.journal.path.read_bytes() == lines
    assert "there is no champion, the base answers" in place.run("rollback", place.loop, "--to", "base")
    with pytest.raises(RegistryError, match="there is no version 9; champion so far: 1, 2"):
        place.run("rollback", place.loop, "--to", "9")


def test_without_mlflow_the_journal_is_shown_and_that_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote("promoted")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    said = place.run("history", place.loop)
    assert "champion: none → 1" in said and "Not compared with MLflow: there is no" in said
    assert place.told()["not_compared"].endswith("mlflow.db")


def test_every_kind_of_move_has_a_word() -> None:
    assert set(WORDS) == set(get_args(Kind))


def test_what_a_canary_decided_is_told_in_the_history(place: Place) -> None:
    place.promote("promoted")
    version = place.registry.aliases()[CHAMPION]
    figures: dict[str, dict[str, float | None]] = {"errors": {"candidate": 0.01}}
    moves_of("tiny", place.home).tell_canary(version, "5% of users: widened: next 25% of users", figures)
    told = place.run("history", place.loop)
    assert "on trial" in told and "5% of users: widened: next 25% of users" in told
    assert place.told()["champion"] == version
