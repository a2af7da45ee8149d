"""State folders in which rounds are turned, undisturbed or killed, and what is left of each to look at."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from wheelwork.core.digests import digest_file
from wheelwork.core.samples import read_parquet
from wheelwork.tests.e2e.command import Command, Ran

Report = dict[str, Any]


@dataclass(frozen=True)
class Home:
    """One state folder, and every reply that was ever made in it, repeats counted."""

    command: Command
    loop: Path

    @classmethod
    def made(cls, folder: Path, loop: Path, models: Path, databases: Path) -> "Home":
        home = cls(Command(folder, models, databases), loop)
        home.replies.parent.mkdir(parents=True)
        with closing(sqlite3.connect(home.replies)) as database:
            # a reply that replaces an equal one leaves no trace in the cache; here it leaves one
            database.executescript(
                "CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL);"
                "CREATE TABLE made (key TEXT NOT NULL);"
                "CREATE TRIGGER count AFTER INSERT ON replies BEGIN INSERT INTO made VALUES (new.key); END;"
            )
        return home

    @property
    def replies(self) -> Path:
        return self.command.home / "cache" / "replies.db"

    def made_so_far(self) -> list[str]:
        """Keys of the replies that models made, in order."""
        with closing(sqlite3.connect(self.replies, timeout=30)) as database:
            return [key for (key,) in database.execute("SELECT key FROM made ORDER BY rowid")]

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Each reply takes a twentieth of a second to be kept: a tiny model gives dozens between two looks."""
        busy = "WITH RECURSIVE n(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n LIMIT 150000) SELECT n FROM n"
        self._change(f"CREATE TRIGGER slow AFTER INSERT ON replies BEGIN SELECT count(*) FROM ({busy}); END")
        yield
        self._change("DROP TRIGGER slow")

    def _change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.replies, timeout=30)) as database:
            database.execute(statement)

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return self.command.start("improve", str(self.loop), "--report", str(self.command.home / "r.json"), *options)

    def round(self, *options: str) -> tuple[Ran, Report]:
        ran = self.command.finish(self.start(*options))
        assert ran.code == 0, ran.err
        return ran, json.loads((self.command.home / "r.json").read_text(encoding="utf-8"))

    def sample_files(self) -> set[str]:
        """Digests of every file of samples that was written: candidates, kept, dropped, rehearsed."""
        return {digest_file(path) for path in (self.command.home / "artifacts" / "samples").rglob("*.parquet")}

    def texts(self, seed: int) -> set[str]:
        """The texts that the teacher wrote in the rounds with `seed`."""
        return {
            sample.prompt
            for path in (self.command.home / "artifacts" / "samples").rglob("*.parquet")
            for sample in read_parquet(path)
            if sample.round and sample.round.startswith(f"{seed:04d}-")
        }


@dataclass(frozen=True)
class Undisturbed:
    """A round, the same command again, and a round with another seed; with what was made after each."""

    home: Home
    first: tuple[Ran, Report]
    again: tuple[Ran, Report]
    other: tuple[Ran, Report]
    made: tuple[int, int, int]
    samples: tuple[set[str], set[str]]
    client: MlflowClient


@dataclass(frozen=True)
class Disturbed:
    """A round that was stopped with Ctrl-C and by SIGTERM, and killed twice before it could end."""

    home: Home
    stopped: list[Ran]
    survivors: list[str]
    made: list[int]
    report: Report
