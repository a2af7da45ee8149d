"""One worked example of a task: a seed of the user's, or what a teacher wrote."""

from pydantic import Field

from ..samples import Message, Text
from ..settings import Setting


class Example(Setting):
    """An input and the answer that the model should give."""

    text: Text = Field(description="what the user says last: a message, question, document or instruction")
    answer: Text = Field(description="what the model should say: a label, answer, summary, reply or solution")
    label: str | None = Field(None, description="the class, where the task has classes; then it is the answer")
    category: str = Field("", description="the topic or label that it belongs to")
    history: tuple[Message, ...] = Field((), description="the turns before `text`")
    passage: str = Field("", description="id of the passage that it is about")
    quote: str = Field("", description="the words of that passage that carry the answer")
    test: str = Field("", description="code: a test that passes with the solution")
    line: int = Field(0, description="where it stands in the user's file")
