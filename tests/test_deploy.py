"""compose.yaml, the image and the system services: everything that they name exists, and nothing is open to others."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {
    "image", "build", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "logging", "command",
    "environment", "env_file", "volumes", "ports", "depends_on", "healthcheck", "profiles", "ipc", "deploy",
    "cpu_shares",
}  # fmt: skip
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
OURS = ("prefect", "mlflow", "deployments", "worker", "gateway")
every_service = pytest.mark.parametrize("name", SERVICES)


def options_of(command: str) -> tuple[set[str], int] | None:
    """The options of a `wheelwork` command and how many arguments it takes; None where it is not there."""
    import typer.main
    from wheelwork.cli import app

    group: Any = typer.main.get_command(app)
    found = group.commands.get(command)
    if found is None:
        return None
    options = {option for one in found.params if one.param_type_name == "option" for option in one.opts}
    return options, sum(one.param_type_name == "argument" for one in found.params)


@every_service
def test_a_service_has_only_keys_of_the_compose_specification(name: str) -> None:
    assert set(SERVICES[name]) <= KNOWN and ("image" in SERVICES[name])


@every_service
def test_what_is_waited_for_exists_and_can_say_that_it_is_well(name: str) -> None:
    for other, told in SERVICES[name].get("depends_on", {}).items():
        assert told["condition"] in CONDITIONS and other in SERVICES
        if told["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        if told["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] in ("no", "on-failure")
        assert SERVICES[other].get("profiles", []) == [], "a service that is always started waits for one that is not"


def test_nobody_waits_in_a_circle() -> None:
    def before(name: str, path: tuple[str, ...] = ()) -> None:
        assert name not in path, path
        for other in SERVICES[name].get("depends_on", {}):
            before(other, (*path, name))

    for name in SERVICES:
        before(name)


@every_service
def test_what_stays_up_says_whether_it_is_well(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "unless-stopped":
        check = service["healthcheck"]
        assert check["test"][0] == "CMD" and {"interval", "timeout", "retries", "start_period"} <= set(check)


@every_service
def test_ports_are_on_the_loopback_and_none_is_taken_twice(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    published = [port.split(":")[1] for one in SERVICES.values() for port in one.get("ports", ())]
    assert len(published) == len(set(published))


@every_service
def test_volumes_are_named_or_in_the_repository(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source, target, *mode = volume.split(":")
        assert target.startswith("/") and mode in ([], ["ro"])
        if source.startswith("./"):
            assert mode == ["ro"] and (source == "./loops" or (ROOT / source).is_file())
        else:
            assert source in COMPOSE["volumes"]


def test_no_secret_stands_in_the_file_and_each_variable_stands_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    for variable in set(re.findall(r"\$\{([A-Z_]+)", text)):
        assert re.search(rf"^#?{variable}=", example, re.MULTILINE), variable
    for one in SERVICES.values():
        for key, value in one.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET", key) or str(value).startswith("${")
    assert all(".env" in (ROOT / name).read_text().split() for name in (".gitignore", ".dockerignore"))


def test_variables_of_ours_are_ones_that_we_read() -> None:
    named = {key for one in SERVICES.values() for key in one.get("environment", {}) if key.startswith("WHEELWORK_")}
    files = (path for folder in ("core", "blocks") for path in (ROOT / folder).rglob("*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    # WHEELWORK_TRAFFIC_URL is read by the traffic database
    unread = {name for name in named if name not in source and (ROOT / "core" / "traffic").is_dir()}
    assert unread == set() and {"WHEELWORK_HOME", "WHEELWORK_MODELS"} <= named


@pytest.mark.parametrize("name", OURS)
def test_containers_of_ours_hold_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}


def started() -> list[tuple[str, list[str]]]:
    """Every command of ours that containers and system services start, by who starts it."""
    found = [(name, SERVICES[name]["command"]) for name in OURS]
    for unit in UNITS:
        for line in unit.read_text(encoding="utf-8").splitlines():
            if line.startswith(("ExecStart=", "ExecStartPre=")):
                found.append((unit.name, line.partition("=")[2].replace("/opt/wheelwork/bin/", "").split()))
    return found


@pytest.mark.parametrize(("name", "command"), started(), ids=lambda one: one if isinstance(one, str) else one[0])
def test_commands_exist_with_the_options_that_are_given(name: str, command: list[str]) -> None:
    program, *words = command
    assert program in ("wheelwork", "prefect", "mlflow")
    if program != "wheelwork":
        return
    known = options_of(words[0])
    assert known is not None, f"there is no `wheelwork {words[0]}`"
    given = {word for word in words if word.startswith("--")}
    assert given <= known[0] and known[1] == 1


def test_the_programs_of_others_know_the_options_that_are_given() -> None:
    import mlflow.cli

    server = {option for one in mlflow.cli.server.params for option in one.opts}
    for _, (program, *words) in started():
        if program == "mlflow":
            assert {word for word in words if word.startswith("--")} <= server


def test_the_image_is_made_of_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE):
        assert (ROOT / source).exists()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r'"\.\[(\w+)\]"', text)) <= set(extras)
    assert re.search(r"^USER wheelwork$", text, re.MULTILINE)
    checked = [SERVICES[name]["healthcheck"]["test"] for name in OURS if name != "deployments"]
    assert all("/opt/wheelwork/answers.py" in test for test in checked)


def test_the_health_check_tells_an_answer_from_none(tmp_path: Path) -> None:
    import sys
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    codes = [
        subprocess.run([sys.executable, str(DEPLOY / "answers.py"), url], capture_output=True, timeout=30).returncode
        for url in (address, address + "nowhere", "http://127.0.0.1:9/")
    ]
    server.shutdown()
    server.server_close()
    assert codes == [0, 1, 1]


def docker_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not docker_compose(), reason="docker compose is not installed")
@pytest.mark.parametrize("profile", [[], ["--profile", "gpu"]])
def test_docker_compose_reads_it(profile: list[str], tmp_path: Path) -> None:
    for name in ("compose.yaml", "deploy"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=abc\n")
    done = subprocess.run(
        ["docker", "compose", *profile, "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_reads_the_service_and_finds_it_tight(unit: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("wheelwork", "prefect", "mlflow"):
        (programs / name).symlink_to("/bin/true")
    for one in UNITS:  # they name each other
        text = one.read_text(encoding="utf-8").replace("/opt/wheelwork/bin", str(programs))
        (tmp_path / one.name).write_text(re.sub("^(User|Group|Documentation)=.*\n", "", text, flags=re.MULTILINE))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert done.returncode == 0 and said == [], done.stderr
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert security.returncode == 0, security.stdout[-300:] + security.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_services_listen_on_the_loopback_and_take_their_settings_from_one_file(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "0.0.0.0" not in text and "EnvironmentFile=/etc/wheelwork/wheelwork.env" in text
    example = (DEPLOY / "systemd" / "wheelwork.env.example").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{([A-Z_]+)\}", text):
        assert f"\n{variable}=" in f"\n{example}"
