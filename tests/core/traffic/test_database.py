"""The database: its tables from any revision, several processes at once, SQLite and Postgres alike."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from wheelwork.core.errors import ConfigError
from wheelwork.core.traffic import migrations
from wheelwork.core.traffic.archive import Archive, Intent, Mark
from wheelwork.core.traffic.database import URL, address, upgrade
from wheelwork.core.traffic.figures import figures
from wheelwork.core.traffic.recorder import Recorder
from wheelwork.core.traffic.retention import forget_user, prune
from wheelwork.core.traffic.settings import TrafficSettings
from wheelwork.core.traffic.tables import HEAD, meta
from wheelwork.tests.core.traffic.rows import DAY, NOW, an_archive, asked, said


def revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    return [one.revision for one in reversed(list(ScriptDirectory.from_config(config).walk_revisions()))]


def test_the_tables_are_those_of_the_last_revision(tmp_path: Path) -> None:
    assert revisions()[-1] == HEAD
    with an_archive(tmp_path).database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "traffic_version"})
        assert compare_metadata(context, meta) == []


@pytest.mark.parametrize("revision", revisions())
def test_a_database_of_any_revision_is_brought_to_the_last_with_its_rows(revision: str, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'traffic.db'}")
    with engine.begin() as connection:
        upgrade(connection, revision)
        row = (
            "'a', 1.5, 'tiny', '7', 'champion', '', 'u', '', '[]', 'line', 'stop', 200, '', 0.1, NULL, 3, 4, 0, NULL, 4"
        )
        connection.exec_driver_sql(f"INSERT INTO exchanges VALUES ({row})")
    engine.dispose()
    archive = an_archive(tmp_path)
    assert [one.exchange.reply for one in archive.all("tiny")] == ["line"]
    assert archive.intents("tiny", 10) == [] and archive.marks("tiny", "correction") == {}
    archive.database.close()
    assert [one.exchange.id for one in an_archive(tmp_path).all("tiny")] == ["a"]


def test_a_database_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    archive = an_archive(tmp_path)
    with archive.database.writing() as connection:
        connection.exec_driver_sql("UPDATE traffic_version SET version_num = '9999'")
    archive.database.close()
    with pytest.raises(ConfigError, match="another release"):
        an_archive(tmp_path).loops()


def test_processes_that_start_together_make_the_tables_once(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from wheelwork.tests.core.traffic.rows import an_archive, asked; "
    code += "an_archive(Path(sys.argv[1])).add([asked(int(sys.argv[2]))])"
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    assert len(list(an_archive(tmp_path).all("tiny"))) == 4


def test_what_is_stored_twice_is_there_once(tmp_path: Path) -> None:
    archive = an_archive(tmp_path)
    for _ in range(2):
        archive.add([asked(1), asked(2)], [said(1, thumb="up"), said(1, thumb="up")])
    assert [len(one.said) for one in archive.all("tiny")] == [1, 0]


def test_what_another_key_said_while_nobody_could_tell_does_not_count(tmp_path: Path) -> None:
    archive = an_archive(tmp_path)
    archive.add([asked(1, key="mine")], [said(1, correction="wifi", key="other"), said(1, rating=5, key="mine")])
    (found,) = archive.all("tiny")
    assert [one.rating for one in found.said] == [5] and archive.waiting("tiny") == 0


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("", "sqlite"),
        ("sqlite:////tmp/other.db", "sqlite"),
        ("postgres://ann:word@db.example/traffic", "postgresql"),
        ("postgresql://ann@db.example/traffic", "postgresql"),
    ],
)
def test_the_address_says_where(told: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, told)
    database = Archive.of(tmp_path).database
    assert database.url.get_backend_name() == found and "word" not in database.name


@pytest.mark.parametrize("told", ["mysql://ann:word@h/n", "nonsense", "sqlite://", "sqlite:///:memory:"])
def test_another_kind_of_address_is_refused_without_its_password(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, told)
    with pytest.raises(ConfigError, match="postgresql://") as refused:
        address(tmp_path)
    assert "word" not in str(refused.value)


def test_the_salt_is_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    try:
        assert first.hashed("ann") == second.hashed("ann") != first.hashed("bob")
        assert first.hashed("") == "" and "ann" not in first.hashed("ann")
        assert stat.S_IMODE((tmp_path / "traffic.salt").stat().st_mode) == 0o600
    finally:
        first.close()
        second.close()


# Postgres, where it is installed


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the test's own, which refuses to run as root."""
    found = shutil.which("postgres")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or ([Path(found)] if found else [])
    if not binaries:
        pytest.skip("Postgres is not installed")
    folder = binaries[-1].parent
    root = tmp_path_factory.mktemp("postgres")
    become: list[str] = []
    if os.geteuid() == 0:
        runuser = shutil.which("runuser")
        if not runuser:
            pytest.skip("Postgres does not run as root, and there is no runuser")
        become = [runuser, "-u", "nobody", "--"]
        root = Path("/tmp") / f"wheelwork-postgres-{os.getpid()}"  # below a folder that others may enter
        root.mkdir()
        shutil.chown(root, "nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        made = [*become, str(folder / "initdb"), "-D", str(root / "data"), "-U", "wheel", "--auth=trust", "-N"]
        done = subprocess.run(made, capture_output=True, text=True, cwd="/")
        if done.returncode:
            pytest.skip(f"no server can be made here: {done.stderr[-200:]}")
        options = ["-F", "-p", str(port), "-h", "127.0.0.1", "-k", str(root)]
        server = subprocess.Popen(
            [*become, str(folder / "postgres"), "-D", str(root / "data"), *options], stderr=subprocess.DEVNULL, cwd="/"
        )
        try:
            yield f"postgresql://wheel@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def on_postgres(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv(URL, postgres)
    archive = Archive.of(tmp_path)
    deadline = time.monotonic() + 60
    while True:
        try:
            archive.loops()
            return archive
        except sa.exc.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_on_postgres_everything_is_as_on_sqlite(on_postgres: Archive, tmp_path: Path) -> None:
    archive = on_postgres
    with archive.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "traffic_version"})
        assert compare_metadata(context, meta) == []
    recorder = Recorder(tmp_path)
    one = asked(1, reply="half an emoji \ud83d and a NUL \0", user="ann")
    recorder.record(one)
    recorder.feedback(said(1, correction="wifi \0"))
    assert recorder.flush() and recorder.counts()["stored"] == 1
    recorder.close()
    (found,) = archive.voiced("tiny")
    assert "half an emoji" in found.exchange.reply and found.said[0].correction == "wifi \N{SYMBOL FOR NULL}"
    archive.add([found.exchange], [])
    archive.label([Intent(one.id, "tiny", one.at, label, "encoder", 0.5, "line") for label in ("line", "wifi")])
    assert [intent.label for intent in archive.intents("tiny", 5)] == ["wifi"]
    archive.mark("tiny", [Mark("collection", "last", "")], NOW)
    assert archive.pending("tiny", NOW + 600) == {"corrections": 1, "minutes": 10}
    archive.add([asked(number) for number in range(2, 50)])
    assert prune(archive, "tiny", TrafficSettings(rows=10), NOW) == 39
    assert forget_user(archive, "tiny", "ann") == [one.id] and archive.intents("tiny", 5) == []


def test_figures_of_postgres_are_those_of_sqlite(
    on_postgres: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL)
    rows = [
        # the last second of a day, its first and its noon, where a cast would round
        asked(100 + n, loop="counted", at=DAY * (20_000 + n // 3) + (-1, 0, DAY / 2)[n % 3], latency=n / 10,
              status=503 if n == 4 else 200)
        for n in range(9)
    ]  # fmt: skip
    told = [said(100, thumb="up"), said(101, rating=2), said(102, correction="wifi")]
    found = []
    for archive in (on_postgres, Archive.of(tmp_path / "sqlite")):
        archive.add(rows, told)
        archive.label(
            [Intent(one.id, "counted", one.at, "wifi", how, 0.95, "line")
             for one, how in zip(rows, ("thumb", "correction", "encoder", "agreement"), strict=False)]
        )  # fmt: skip
        found.append([figures(archive, "counted", days=days) for days in (True, False)])
    assert found[0] == found[1]
    assert [(row.day, row.exchanges, row.errors) for row in found[0][0]] == [
        ("2024-10-03", 1, 0), ("2024-10-04", 3, 0), ("2024-10-05", 3, 1), ("2024-10-06", 2, 0),
    ]  # fmt: skip
    assert found[0][1][0].exchanges == 9 and found[0][1][0].rated == 2


def test_a_postgres_that_is_away_fills_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "postgresql://wheel@127.0.0.1:9/postgres")
    recorder = Recorder(tmp_path)
    recorder.record(asked(1))
    recorder.flush()
    recorder.close()
    assert recorder.counts()["spooled"] == 1 and recorder.counts()["dropped"] == 0
