"""The tasks that a loop can have. Each is its settings: what is asked, what a teacher writes, what makes it wrong."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from ..samples import Message
from ..settings import Setting
from ..text import normalised
from .code_checks import parses, run_test
from .documents import Documents
from .example import Example

Fields = Mapping[str, Any]  # what a teacher writes, under the task's keys


class TaskSettings(Setting):
    """What every task has. `keys` are the fields that a teacher writes; the first is what the user would say."""

    keys: ClassVar[tuple[str, ...]]
    instruction: str = Field("", description="first words of the system prompt that is trained on and served")
    setting: str = Field("", description="who writes or asks, in one sentence; the teacher reads it")
    topics: dict[str, str] | str | None = Field(
        None, description="category → one-line description, or a YAML file of that; samples are spread over them"
    )

    def example(self, written: Fields, category: str) -> Example:
        """The example in what a teacher or a user wrote. Raises ValidationError for what is no text."""
        text, answer = (written[key] for key in self.keys[:2])
        return Example(text=text, answer=answer, category=category)

    def shown(self, example: Example) -> dict[str, Any]:
        """The written fields of an example, as prompts show it."""
        return dict(zip(self.keys, (example.text, example.answer), strict=False))

    def fault(self, example: Example, passage: str) -> str | None:
        """Why an example that a teacher wrote about `passage` cannot be right; None when nothing speaks against it."""
        return "says_it_back" if normalised(example.text) == normalised(example.answer) else None


class Classify(TaskSettings):
    """Route a text to exactly one label."""

    keys: ClassVar[tuple[str, ...]] = ("text",)
    kind: Literal["classify"] = "classify"
    instruction: str = Field(
        "Read the message.", min_length=1, description="first words of the system prompt that is trained on and served"
    )
    setting: str = Field(
        "People write short messages.", min_length=1, description="who writes, in one sentence; the teacher reads it"
    )
    labels: dict[str, str] | str = Field(description="label → one-line description, or a YAML file of that")

    def example(self, written: Fields, category: str) -> Example:
        return Example(text=written["text"], answer=category, label=category, category=category)

    def shown(self, example: Example) -> dict[str, Any]:
        return {"text": example.text}

    def fault(self, example: Example, passage: str) -> str | None:
        return None


class QA(TaskSettings):
    """Answer a question from what was learnt."""

    keys: ClassVar[tuple[str, ...]] = ("question", "answer")
    kind: Literal["qa"] = "qa"
    instruction: str = Field("Answer the question.", min_length=1, description="the system prompt that is served")
    setting: str = Field("People ask short questions.", min_length=1, description="who asks; the teacher reads it")


class GroundedQA(QA):
    """Answer a question from a passage that stands in the prompt."""

    keys: ClassVar[tuple[str, ...]] = ("question", "answer", "quote")
    kind: Literal["grounded_qa"] = "grounded_qa"  # type: ignore[assignment]
    instruction: str = Field(
        "Answer the question from the passage, in as few words as it takes.",
        min_length=1,
        description="first words of the system prompt; the passage follows",
    )
    documents: Documents = Field(description="where the passages come from")

    def example(self, written: Fields, category: str) -> Example:
        return Example(
            text=written["question"], answer=written["answer"], quote=written.get("quote") or "", category=category
        )

    def shown(self, example: Example) -> dict[str, Any]:
        return {"question": example.text, "answer": example.answer, "quote": example.quote}

    def fault(self, example: Example, passage: str) -> str | None:
        """The quote must stand in the passage, and the answer's words in the quote or near it."""
        if not example.quote or normalised(example.quote) not in normalised(passage):
            return "quote_not_in_passage"
        if normalised(example.answer) not in normalised(passage):
            known = set(normalised(passage).split())
            found = normalised(example.answer).split()
            if sum(word.strip(".,;:") in known for word in found) < len(found) / 2:
                return "answer_not_in_passage"
        return super().fault(example, passage)


class _FromText(TaskSettings):
    """A task that makes one text out of another."""

    documents: Documents | None = Field(None, description="texts to start from; without them the teacher invents some")


class Summarize(_FromText):
    """Say the same in fewer words."""

    keys: ClassVar[tuple[str, ...]] = ("text", "summary")
    kind: Literal["summarize"] = "summarize"
    instruction: str = Field("Summarize the text.", min_length=1, description="the system prompt that is served")
    setting: str = Field("People hand in texts to be summarized.", min_length=1, description="who writes the texts")

    def fault(self, example: Example, passage: str) -> str | None:
        if len(example.answer) >= len(example.text):
            return "longer_than_the_text"
        return super().fault(example, passage)


class Rewrite(_FromText):
    """Say the same in other words, as the instruction asks."""

    keys: ClassVar[tuple[str, ...]] = ("text", "rewritten")
    kind: Literal["rewrite"] = "rewrite"
    instruction: str = Field("Rewrite the text.", min_length=1, description="the system prompt; it says how")
    setting: str = Field("People hand in texts to be rewritten.", min_length=1, description="who writes the texts")


class Dialogue(TaskSettings):
    """Carry on a conversation: the next reply of the assistant."""

    keys: ClassVar[tuple[str, ...]] = ("messages",)
    kind: Literal["dialogue"] = "dialogue"
    instruction: str = Field("You help customers.", min_length=1, description="the system prompt that is served")
    setting: str = Field("Customers write to a support line.", min_length=1, description="who talks with whom")
    min_turns: int = Field(3, ge=1, le=20, description="fewest turns of a conversation; a turn is a message and reply")
    max_turns: int = Field(6, ge=1, le=20, description="most turns")

    @model_validator(mode="after")
    def _some_length(self) -> "Dialogue":
        if self.min_turns > self.max_turns:
            raise ValueError("`min_turns` is above `max_turns`")
        return self

    def example(self, written: Fields, category: str) -> Example:
        turns = tuple(Message(role=turn["role"], content=turn["content"].strip()) for turn in written["messages"])
        *history, asked, answered = turns
        return Example(text=asked.content, answer=answered.content, history=tuple(history), category=category)

    def shown(self, example: Example) -> dict[str, Any]:
        return {"messages": [turn.model_dump() for turn in conversation(example)]}

    def fault(self, example: Example, passage: str) -> str | None:
        turns = conversation(example)
        if any(not turn.content for turn in turns):
            return "empty_turn"
        if not self.min_turns <= len(turns) / 2 <= self.max_turns:
            return "turns_out_of_range"
        said = [normalised(turn.content) for turn in turns]
        return "repeats_itself" if len(set(said)) < len(said) else None


class Code(TaskSettings):
    """Write code that passes a test."""

    keys: ClassVar[tuple[str, ...]] = ("instruction", "solution", "test")
    kind: Literal["code"] = "code"
    instruction: str = Field("Write Python code.", min_length=1, description="the system prompt that is served")
    setting: str = Field("Programmers ask for small functions.", min_length=1, description="who asks for code")
    seconds: float = Field(5, gt=0, le=600, description="how long a test may run")

    def example(self, written: Fields, category: str) -> Example:
        text, answer, test = (written[key] for key in self.keys)
        return Example(text=text, answer=answer, test=test, category=category)

    def shown(self, example: Example) -> dict[str, Any]:
        return {"instruction": example.text, "solution": example.answer, "test": example.test}

    def fault(self, example: Example, passage: str) -> str | None:
        """The solution must parse and its test must pass, in a process of its own."""
        return parses(example.answer) or run_test(example.answer, example.test, seconds=self.seconds)


AnyTask = Annotated[
    Classify | QA | GroundedQA | Summarize | Rewrite | Dialogue | Code,
    Field(discriminator="kind"),
]
TASKS = ("classify", "qa", "grounded_qa", "summarize", "rewrite", "dialogue", "code")


def conversation(example: Example) -> Sequence[Message]:
    """The whole conversation of an example, its answer last."""
    asked = Message(role="user", content=example.text)
    return (*example.history, asked, Message(role="assistant", content=example.answer))


def made(task: TaskSettings, written: Fields, category: str, passage: str) -> Example | str:
    """The example in `written`, or the reason why there is none."""
    try:
        example = task.example(written, category)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError):
        return "missing_field"
    if not example.text.strip() or not example.answer.strip():
        return "empty_field"
    return task.fault(example, passage) or example
