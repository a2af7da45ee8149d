"""What users say as figures for Prometheus: known by loop and version, gone when unknown, never waited for."""

import asyncio
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from wheelwork.core.serving.exchange import Exchange, Feedback
from wheelwork.core.traffic import gauges
from wheelwork.core.traffic.archive import Archive, Intent
from wheelwork.core.traffic.gauges import Gauges
from wheelwork.core.traffic.settings import TrafficSettings
from wheelwork.tests.core.traffic.rows import DAY, NOW, asked, said, stored
from wheelwork.tests.gateway import Gateway

LOOPS = {"tiny": TrafficSettings(), "quiet": TrafficSettings()}


class Shown:
    """Gauges over a database, at a time that the test moves, as a registry reads them."""

    def __init__(self, archive: Archive) -> None:
        self.now = NOW + 100
        self.gauges = Gauges(archive, LOOPS, lambda: self.now)
        self.registry = CollectorRegistry()
        self.registry.register(self.gauges)

    def read(self) -> "Shown":
        self.gauges.read()
        return self

    def value(self, name: str, version: str = "7", **more: str) -> float | None:
        return self.registry.get_sample_value(f"wheelwork_{name}", {"loop": "tiny", "version": version, **more})

    @property
    def versions(self) -> set[str]:
        return {
            sample.labels["version"]
            for metric in self.registry.collect()
            for sample in metric.samples
            if "version" in sample.labels
        }


def some() -> list[Exchange | Feedback]:
    """Version 7 with five answers, of which one was liked, one disliked, one corrected; version 8 with one."""
    rows = [asked(number) for number in range(1, 6)]
    return [*rows, asked(9, version="8"), said(1, thumb="up"), said(2, thumb="down"), said(3, correction="wifi")]


def test_each_version_has_what_is_known_of_it(tmp_path: Path) -> None:
    archive = stored(tmp_path, *some())
    archive.label([Intent(f"chatcmpl-{n}", "tiny", NOW + n, *what, "line") for n, what in {
        1: ("line", "thumb", 1.0), 3: ("wifi", "correction", 1.0), 4: ("line", "agreement", 0.95),
    }.items()])  # fmt: skip
    shown = Shown(archive).read()
    assert (shown.value("satisfaction_ratio"), shown.value("answers_rated")) == (0.5, 2)
    low, high = shown.value("satisfaction_low_ratio"), shown.value("satisfaction_high_ratio")
    assert low is not None and high is not None and 0 < low < 0.5 < high < 1
    assert (shown.value("correction_ratio"), shown.value("recall_ratio")) == (1 / 5, 0.5)
    assert (shown.value("label_recall_ratio", label="line"), shown.value("label_recall_ratio", label="wifi")) == (1, 0)
    assert shown.value("label_questions", label="wifi") == 1 and shown.value("agreement_ratio") == 1
    assert shown.registry.get_sample_value("wheelwork_traffic_read_timestamp_seconds") == NOW + 100


def test_unknown_is_absent_and_not_zero(tmp_path: Path) -> None:
    shown = Shown(stored(tmp_path, *some())).read()
    assert (shown.value("satisfaction_ratio", "8"), shown.value("recall_ratio", "8")) == (None, None)
    assert (shown.value("correction_ratio", "8"), shown.value("answers_rated", "8")) == (0, 0)


def test_nothing_is_shown_before_it_was_read_nor_while_the_database_is_away(tmp_path: Path) -> None:
    archive = stored(tmp_path, *some())
    shown = Shown(archive)
    assert list(shown.registry.collect()) == []
    assert shown.read().versions == {"7", "8"}
    here, there = tmp_path / "traffic.db", tmp_path / "elsewhere.db"
    archive.database.close()
    here.rename(there)
    here.mkdir()  # what lies there is no database
    assert list(shown.read().registry.collect()) == []
    here.rmdir()
    there.rename(here)
    assert shown.read().versions == {"7", "8"}


def test_a_version_that_left_the_window_goes(tmp_path: Path) -> None:
    shown = Shown(stored(tmp_path, *some(), asked(10, version="9", at=NOW + 20 * DAY))).read()
    assert shown.versions == {"7", "8", "9"}
    shown.now += LOOPS["tiny"].collect.days * DAY
    assert shown.read().versions == {"9"}


def test_a_scrape_waits_for_no_database_and_shows_what_was_read_last(tmp_path: Path) -> None:
    slow, asked_for, going = threading.Event(), threading.Event(), stored(tmp_path, *some())
    shown = Gauges(going, LOOPS, lambda: NOW + 100)
    gateway = Gateway(tmp_path, shown=[shown])
    shown.read()
    reading = going.database.reading

    def waiting() -> object:
        asked_for.set()
        assert slow.wait(60)
        return reading()

    going.database.reading = waiting  # type: ignore[method-assign,assignment]
    thread = threading.Thread(target=shown.read)
    thread.start()
    try:
        assert asked_for.wait(60)
        told = gateway.ask("GET", "/metrics")
        assert told.status_code == 200 and thread.is_alive()
        assert 'wheelwork_satisfaction_ratio{loop="tiny",version="7"} 0.5' in told.text
    finally:
        slow.set()
        thread.join()


def test_what_takes_long_is_read_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "PAUSE", 0.01)
    times: list[float] = []

    class Counted(Gauges):
        takes = 0.0

        def read(self) -> None:
            times.append(self.takes)
            threading.Event().wait(self.takes)

    async def some_time(counted: Gauges, enough: int, seconds: float) -> None:
        task = asyncio.create_task(counted.forever())
        deadline = asyncio.get_running_loop().time() + seconds
        while len(times) < enough and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        task.cancel()

    quick = Counted(Archive.of(tmp_path), LOOPS)
    asyncio.run(some_time(quick, 4, 30))
    assert len(times) == 4
    times.clear()
    quick.takes = 0.1
    asyncio.run(some_time(quick, 2, 1))  # the second comes after two seconds
    assert len(times) == 1
