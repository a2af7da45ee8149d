"""What could be done about a group of failing items, as data. A remedy never holds a text of a suite."""

from typing import Annotated, Literal

from pydantic import Field

from ..settings import Setting


class Shown(Setting):
    """One training or seed sample, as a person or a prompt is shown it."""

    id: str = Field(description="id of the sample, as the pool knows it")
    text: str = Field(description="what the user said")
    answer: str = Field(description="the answer that was trained on")


class MoreSamples(Setting):
    """Have the teacher write more of one category. What `generate.follow` reads."""

    kind: Literal["more_samples"] = "more_samples"
    category: str = Field(description="label, topic or document to write about")
    controls: dict[str, str] = Field({}, description="difficulty, length … that they should have")
    count: int = Field(ge=1, description="how many, for a start")

    @property
    def said(self) -> str:
        asked = "".join(f", {name} {value}" for name, value in self.controls.items())
        return f"write about {self.count} more samples of `{self.category}`{asked}"


class FewShots(Setting):
    """Show the writer these examples."""

    kind: Literal["few_shots"] = "few_shots"
    shots: tuple[Shown, ...] = Field(min_length=1, description="training or seed samples")

    @property
    def said(self) -> str:
        ids = ", ".join(shot.id for shot in self.shots)
        return f"show the writer {len(self.shots)} training samples that come nearest: {ids}"


class TemplateChange(Setting):
    """Change the prompt or its limits."""

    kind: Literal["template"] = "template"
    change: str = Field(min_length=1, description="what to change, as an instruction to a person")

    @property
    def said(self) -> str:
        return self.change


class AskLabel(Setting):
    """Ask a person which label is right; `samples` are the rows of the sheet."""

    kind: Literal["ask_label"] = "ask_label"
    labels: tuple[str, ...] = Field(min_length=1, description="the labels in doubt")
    question: str = Field(min_length=1, description="the question")
    samples: tuple[Shown, ...] = Field((), description="training samples to decide on")

    @property
    def said(self) -> str:
        about = f" ({', '.join(shown.id for shown in self.samples[:3])}{' …' * (len(self.samples) > 3)})"
        return f"ask a person: {self.question}{about * bool(self.samples)}"

    def sheet_rows(self) -> list[dict[str, str]]:
        """The samples as rows of a review sheet, under the columns that people see."""
        return [
            {"id": one.id, "before": "", "text": one.text, "answer": one.answer, "chosen": "doubted", "score": ""}
            for one in self.samples
        ]


class ReplayMore(Setting):
    """Train again on more of what was known."""

    kind: Literal["replay_more"] = "replay_more"
    of: Literal["replay", "rehearsal"] = Field(description="samples of earlier rounds, or the base's own answers")
    labels: tuple[str, ...] = Field((), description="whose samples are short; empty where there are no labels")

    @property
    def said(self) -> str:
        if self.of == "rehearsal":
            return "rehearse more: lower `train.rehearse_every`, or add prompts of this kind to `rehearsal`"
        named = f", above all of {', '.join(f'`{label}`' for label in self.labels)}" if self.labels else ""
        return f"raise `replay.share`{named}"


class AddKnowledge(Setting):
    """Give the model what it cannot know."""

    kind: Literal["add_knowledge"] = "add_knowledge"
    passages: tuple[str, ...] = Field((), description="ids of the passages that lack it")
    slices: tuple[str, ...] = Field((), description="parts of the suite that ask for it")

    @property
    def said(self) -> str:
        where = (
            f"add it to the passages {', '.join(self.passages[:5])}" if self.passages else "add documents or samples"
        )
        about = f" about {', '.join(self.slices[:5])}" if self.slices else ""
        return f"{where}{about}, or take the items out that nobody could answer from what is given"


Remedy = Annotated[
    MoreSamples | FewShots | TemplateChange | AskLabel | ReplayMore | AddKnowledge, Field(discriminator="kind")
]
