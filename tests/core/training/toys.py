"""A training small enough for a test: a dozen samples, six steps, a second."""

from pathlib import Path
from typing import Any

from wheelwork.core.models.store import ModelFiles
from wheelwork.core.samples import REHEARSAL, Message, Sample
from wheelwork.core.training.settings import Training
from wheelwork.core.training.trained import Trained

TRAINING = Training(
    rehearse_every=1,
    rank=4,
    alpha=8,
    epochs=2,
    batch_size=4,
    learning_rate=1e-2,
    checkpoint_steps=2,
    dropout=0.1,
    dtype="float32",  # whatever the machine could do
)
STEPS = 6
SYSTEM = "Read the customer's message and answer with exactly one of these labels: wifi, bill."


def sample(text: str, answer: str, system: str = SYSTEM, task: str = "classify", **rest: Any) -> Sample:
    turns = [("system", system), ("user", text), ("assistant", answer)]
    messages = [Message(role=role, content=content) for role, content in turns]  # type: ignore[arg-type]
    return Sample.make(messages, task=task, origin="seed", **rest)


def rehearsal(text: str, answer: str) -> Sample:
    return sample(text, answer, "Be brief.", REHEARSAL)


def samples(count: int = 12) -> list[Sample]:
    """Alternating answers; every fourth sample is rehearsal."""
    return [(rehearsal if n % 4 == 3 else sample)(f"message number {n}", ("wifi", "bill")[n % 2]) for n in range(count)]


def train(base: ModelFiles, folder: Path, *, settings: Training = TRAINING, seed: int = 0, **rest: Any) -> Trained:
    """Train on `samples()` unless `rest` says otherwise: adapter in `folder/adapter`, checkpoints in `folder`."""
    from wheelwork.core.training.trainer import train_adapter

    options = {"samples": samples(), "target": folder / "adapter", "checkpoints": folder, **rest}
    return train_adapter(base=base, settings=settings, seed=seed, **options)
