"""A micro-round: a loop's settings changed for a few corrections, so that they are learnt within minutes."""

from pydantic import Field

from .loops import LoopSettings, Overrides

FEWEST = 20  # corrections that a micro-round begins at, unless it is told otherwise


class MicroRound(Overrides):
    """What a micro-round changes of `loop.yaml`: nothing is written, few steps from the champion on, at low priority.

    Gate, suites, ledger and registry are those of every round: a small change is proved like a large one.
    """

    most: int = Field(100, ge=1, le=10_000, description="corrections that are learnt in one, the oldest first")
    epochs: int = Field(2, ge=1, le=100, description="passes over corrections, seeds and old samples")
    share: float = Field(0.5, ge=0, le=0.9, description="share of old samples among corrections and old samples")
    nice: int = Field(19, ge=0, le=19, description="how much it gives way to the gateway; 19 the most")
    threads: int | None = Field(None, ge=1, le=1024, description="threads that train; unset: all")

    def apply(self, settings: LoopSettings) -> LoopSettings:
        train, control = settings.train, settings.train.control
        process = control.process and control.process.model_copy(update={"nice": self.nice})
        return settings.model_copy(
            update={
                "generate": settings.generate.model_copy(update={"samples": 0, "augment": None}),
                "review": settings.review.model_copy(update={"mode": "off"}),  # people said these already
                "replay": settings.replay.model_copy(update={"share": self.share}),
                "train": train.model_copy(
                    update={
                        "epochs": min(self.epochs, train.epochs),
                        "start": "champion",
                        "control": control.model_copy(update={"process": process, "worth": None}),
                    }
                ),
            }
        )
