"""A training in a process of its own: the same adapter, whatever kills it; and a watcher that lets nothing hang."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import DataError, DependencyError, ModelError, WheelworkError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.control.process import ChildProcess
from wheelwork.core.training.control.settings import Control
from wheelwork.core.training.control.step import OnStep, Step
from wheelwork.core.training.focus.order import EasyFirst
from wheelwork.core.training.job import Job, Said
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.keeping.settings import ChampionKl, Ewc
from wheelwork.core.training.settings import Training
from wheelwork.core.training.sparing import unneeded
from wheelwork.core.training.trained import Trained
from wheelwork.core.training.watched import CHILD, learn, train_in_child
from wheelwork.tests.core.training.keeping.toys import champion
from wheelwork.tests.core.training.toys import STEPS, TRAINING, samples, train

TOLD = Trained(samples=1, too_long=0, tokens=9, seconds=1, tokens_per_second=9, final_loss=0.5, losses=(0.5,))

# a child that needs no torch: it does what its first argument says, and counts its starts in the second
FAKE = """
import json, os, signal, sys, time
from pathlib import Path
doing, starts, spec = sys.argv[1:]
started = len(Path(starts).read_text()) if Path(starts).exists() else 0
Path(starts).write_text("x" * (started + 1))
Path(starts + ".pid").write_text(str(os.getpid()))
parts = json.loads(Path(spec).read_text())["training"]["control"]["memory"]["parts"]
def say(**fields): print(json.dumps(fields), flush=True)
def step(n): say(kind="step", step={"step": n, "steps": 4, "loss": 1.0 / n, "learning_rate": 0.1})
say(kind="loaded")
print("Something that a library says.")
say(kind="log", name="wheelwork.core.training.trainer", level=30, message="it is slower")
step(1)
if doing == "hang" or doing == "hang once" and not started: time.sleep(600)
if doing == "kill" or doing == "kill once" and not started: os.kill(os.getpid(), signal.SIGKILL)
if doing == "fail": say(kind="failed", name="ModelError", message="no such layer"); sys.exit(2)
if doing == "crash": sys.exit("Segmentation of something\\nBadError: it broke")
if doing == "leave": sys.exit(0)
step(parts + 1)
say(kind="trained", trained=json.loads(sys.argv[0] and os.environ["TOLD"]))
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "FakeChild":
    monkeypatch.setenv("TOLD", TOLD.model_dump_json())
    (tmp_path / "fake.py").write_text(FAKE)
    return FakeChild(tmp_path)


class FakeChild:
    """Runs the fake child in the place of the real one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.steps: list[Step] = []
        self.on_step: OnStep = self.steps.append

    def learn(self, doing: str, hang_after: float = 60.0) -> Trained:
        control = Control(process=ChildProcess(nice=0, hang_after=hang_after))
        return train_in_child(
            samples(2),
            ModelFiles("tiny", self._folder, None, "d"),
            TRAINING.model_copy(update={"control": control}),
            seed=0,
            target=self._folder / "adapter",
            checkpoints=self._folder / "work",
            on_step=self.on_step,
            command=[sys.executable, str(self._folder / "fake.py"), doing, str(self._folder / "starts")],
        )

    @property
    def starts(self) -> int:
        return len((self._folder / "starts").read_text())

    @property
    def pid(self) -> int:
        return int((self._folder / "starts.pid").read_text())


# the watcher


def test_steps_log_and_report_arrive_and_nothing_is_left(
    fake: FakeChild, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        assert fake.learn("well") == TOLD
    assert [(step.step, step.steps, step.loss) for step in fake.steps] == [(1, 4, 1.0), (2, 4, 0.5)]
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("wheelwork.core.training.trainer", "it is slower")
    ]
    assert not any((tmp_path / "work").iterdir())
    assert capfd.readouterr() == ("", "")


def test_a_child_that_hangs_is_begun_again_once(fake: FakeChild, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.learn("hang once", hang_after=3.0) == TOLD
    assert fake.starts == 2
    assert "the training process made no step for 3 s and was ended; it is begun again" in caplog.text
    with pytest.raises(DependencyError, match=r"^tiny: the training process made no step for .*, twice; see what else"):
        fake.learn("hang", hang_after=3.0)
    assert fake.starts == 4 and not psutil.pid_exists(fake.pid)


def test_a_child_that_is_killed_is_begun_again_in_twice_the_parts(fake: FakeChild) -> None:
    assert fake.learn("kill once") == TOLD
    assert [step.step for step in fake.steps] == [1, 1, 3]
    with pytest.raises(ModelError, match=r"was killed, perhaps for want of memory, twice; lower `train.batch_size`"):
        fake.learn("kill")


@pytest.mark.parametrize(
    ("doing", "error", "said"),
    [
        ("fail", ModelError, "^no such layer$"),
        ("crash", WheelworkError, "^tiny: the training process ended with exit code 1: BadError: it broke$"),
        ("leave", WheelworkError, "^tiny: the training process ended with exit code 0$"),
    ],
)
def test_other_ends_are_one_sentence(doing: str, error: type[Exception], said: str, fake: FakeChild) -> None:
    with pytest.raises(error, match=said):
        fake.learn(doing)
    assert fake.starts == 1


def test_ctrl_c_ends_the_child(fake: FakeChild) -> None:
    def interrupt(step: Step) -> None:
        raise KeyboardInterrupt

    fake.on_step = interrupt
    with pytest.raises(KeyboardInterrupt):
        fake.learn("hang")
    assert not psutil.pid_exists(fake.pid)


def test_patience_is_longer_where_steps_are_slow() -> None:
    assert [ChildProcess(hang_after=100, hang_steps=20).patience(seconds) for seconds in (1, 30)] == [100, 600]


def test_watching_needs_no_torch() -> None:
    named = "import sys, wheelwork.core.training.watched; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", named], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# the real child


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child, so that its sums have the order of ours


@pytest.fixture(scope="module")
def straight(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter of the training in this process that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    train(tiny, folder)
    return Adapter.at(folder / "adapter").digest


def job_in(folder: Path, base: ModelFiles, training: Training = TRAINING) -> Path:
    job = Job(
        samples=tuple(samples()),
        base=base,
        training=training,
        seed=0,
        target=folder / "adapter",
        checkpoints=folder,
        nice=5,
    )
    job.write(folder / "job.json")
    return folder / "job.json"


def started(folder: Path, base: ModelFiles) -> "subprocess.Popen[str]":
    command = [*CHILD, str(job_in(folder, base))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_step(process: "subprocess.Popen[str]", step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said = Said.model_validate_json(line)
        if said.step is not None and said.step.step == step:
            return
    raise AssertionError(process.stderr and process.stderr.read())


def test_it_trains_the_same_adapter_at_low_priority(tiny: ModelFiles, straight: str, tmp_path: Path) -> None:
    steps: list[Step] = []
    niceness: list[int] = []
    files: set[str] = set()

    def heard(step: Step) -> None:
        steps.append(step)
        children = psutil.Process().children()  # another test may have left a server running
        for child in (one for one in children if any("training.child" in word for word in one.cmdline())):
            niceness.append(child.nice())
            if sys.platform == "linux":
                files.update(mapped.path for mapped in child.memory_maps())

    before = psutil.Process().nice()
    trained = learn(samples(), tiny, TRAINING, seed=0, target=tmp_path / "adapter", checkpoints=tmp_path, on_step=heard)
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert trained.losses == tuple(step.loss for step in steps)
    assert Adapter.at(tmp_path / "adapter").digest == straight
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert niceness and all(nice == min(19, before + 10) for nice in niceness)
    assert psutil.Process().nice() == before
    assert not [path for path in files if "bitsandbytes" in path or "pandas" in path]  # seconds that nobody waits for


def test_a_base_in_four_bits_has_what_reads_it(tmp_path: Path) -> None:
    plain = Job.read(str(job_in(tmp_path, ModelFiles("tiny", tmp_path, None, "d"))))
    assert unneeded(plain) == ("datasets", "bitsandbytes")
    four = plain.model_copy(update={"training": TRAINING.model_copy(update={"quantize": "nf4"})})
    assert unneeded(four) == ("datasets",)
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "bitsandbytes"}}')
    assert unneeded(plain) == ("datasets",)


def test_it_has_the_champion_and_what_is_replayed_and_tells_what_it_measures(tiny: ModelFiles, tmp_path: Path) -> None:
    settings = TRAINING.model_copy(
        update={"start": "champion", "keep": (Ewc(), ChampionKl()), "order": EasyFirst(), "epochs": 1}
    )
    former = Former(champion(tmp_path / "champion", tiny, r=4, lora_alpha=8), samples(3))
    told: list[tuple[Trained, list[tuple[int, int]], str]] = []
    for name, where in (("here", None), ("child", ChildProcess())):
        measured: list[tuple[int, int]] = []
        folder = tmp_path / name
        trained = learn(
            samples(),
            tiny,
            settings.model_copy(update={"control": Control(process=where)}),
            seed=0,
            target=folder / "adapter",
            checkpoints=folder,
            former=former,
            on_measured=lambda *done, heard=measured: heard.append(done),
        )
        told.append((trained, measured, Adapter.at(folder / "adapter").digest))
    (here, *rest), (child, *others) = told
    assert rest == others and rest[0] == [(n, 9) for n in range(1, 10)]
    assert (child.losses, child.notes) == (here.losses, here.notes) and child.focus is not None


def test_killed_again_and_again_it_ends_with_the_same_adapter(tiny: ModelFiles, straight: str, tmp_path: Path) -> None:
    for step in (1, 3, 6):
        process = started(tmp_path, tiny)
        until_step(process, step)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "adapter").exists()
    process = started(tmp_path, tiny)
    assert process.stdout is not None and process.stderr is not None
    lines = list(process.stdout)  # not communicate(), which closes its input: the sign to end
    assert (process.wait(), process.stderr.read()) == (0, "")
    last = Said.model_validate_json(lines[-1])
    assert last.trained is not None and last.trained.resumed_at in (4, 6)
    assert Adapter.at(tmp_path / "adapter").digest == straight


def test_it_ends_with_the_process_that_started_it(tiny: ModelFiles, tmp_path: Path) -> None:
    parent = f"""
import subprocess, sys, time
child = subprocess.Popen({[*CHILD, str(job_in(tmp_path, tiny))]!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode().strip(), flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, said = process.stdout.readline().split(maxsplit=1)
    assert json.loads(said) == {"kind": "loaded"}
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_the_user_did_wrong_arrives_as_it_was_raised(tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of 0 is left to train on"):
        learn([], tiny, TRAINING, seed=0, target=tmp_path / "adapter", checkpoints=tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_a_loss_that_is_no_number_can_be_told() -> None:
    said = Said(kind="step", step=Step(1, 2, float("nan"), 0.1))
    again = Said.model_validate_json(said.model_dump_json(exclude_defaults=True))
    assert again.step is not None and again.step.loss != again.step.loss and again.step.step == 1
