"""Writing labelled messages: a plan over the labels, one request a sample, and reading the replies."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ..chat.messages import ChatRequest, Reply
from ..formats import LabelledText
from ..prompts import Template
from ..samples import Message, Sample
from ..settings import Setting

GROUP = 8  # requests in a row that share their examples, so that an engine reads them once


class Generation(Setting):
    """How many samples to ask for, and how."""

    samples: int = Field(216, ge=0, le=1_000_000, description="how many to ask the teacher for, over all labels")
    shots: int = Field(5, ge=1, le=32, description="real examples shown with each request")
    opening_words: int = Field(2, ge=1, le=6, description="words of a real message that a sample must begin with")
    template: Literal["auto", "continue", "write"] = Field(
        "auto", description="continue: for a small local teacher; write: for an instructed one; auto: by the teacher"
    )
    temperature: float = Field(0.8, ge=0, le=2, description="spread of the teacher's wording")
    top_p: float = Field(0.95, gt=0, le=1, description="share of the probability that is sampled from")
    max_tokens: int = Field(48, ge=4, le=4096, description="longest sample")


@dataclass(frozen=True)
class Order:
    """One sample to be written: its label, the examples to show, the words to begin with, the seed to draw."""

    label: str
    shots: tuple[str, ...]
    opening: str
    seed: int


def plan(seeds: Sequence[LabelledText], labels: Sequence[str], settings: Generation, seed: int) -> list[Order]:
    """Spread `settings.samples` evenly over `labels` (the first ones take the remainder).

    Half of the samples of a label begin as one of its own seeds does, which keeps them to the point, half with the
    first word of any seed, which varies them. No two orders in one group of examples begin alike, as long as there
    are beginnings enough: what differs between neighbours then stands in the prompt and not in the seed alone.
    """
    rng = random.Random(seed)
    anywhere = sorted({opening(row.text, 1) for row in seeds})
    orders: list[Order] = []
    for position, label in enumerate(labels):
        wanted = settings.samples // len(labels) + (position < settings.samples % len(labels))
        own = [row.text for row in seeds if row.label == label]
        to_the_point = sorted({opening(text, settings.opening_words) for text in own})
        for start in range(0, wanted, GROUP):
            size = min(GROUP, wanted - start)
            shots = tuple(rng.sample(own, min(settings.shots, len(own))))
            begins = _draw(rng, to_the_point, size // 2)
            begins += _draw(rng, [begin for begin in anywhere if begin not in begins], size - len(begins))
            orders.extend(Order(label, shots, begin, rng.randrange(2**31)) for begin in begins)
    return orders


def _draw(rng: random.Random, among: Sequence[str], size: int) -> list[str]:
    """`size` of `among`, each once where there are enough of them."""
    return rng.sample(among, size) if size <= len(among) else rng.choices(among or [""], k=size)


def opening(text: str, words: int) -> str:
    """The first `words` words of a text."""
    return " ".join(text.split()[:words])


@dataclass(frozen=True)
class Classifying:
    """The prompts of one classification loop: for writing samples, and for answering them."""

    instruction: str
    setting: str
    labels: Mapping[str, str]
    settings: Generation
    write: Template
    answer: Template

    def ask(self, text: str) -> tuple[Message, ...]:
        """The messages that ask for the label of `text`: what is trained on, benchmarked and served."""
        return self.answer.render(instruction=self.instruction, labels=list(self.labels), text=text)

    def sample(self, text: str, label: str, **provenance: Any) -> Sample:
        """A training sample; `provenance` fills origin, source, round and controls."""
        messages = (*self.ask(text), Message(role="assistant", content=label))
        return Sample.make(messages, task="classify", label=label, **provenance)

    def request(self, order: Order) -> ChatRequest:
        """The call that fills one order."""
        return ChatRequest(
            messages=self.write.render(
                setting=self.setting, topic=self.labels[order.label], shots=order.shots, opening=order.opening
            ),
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            seed=order.seed,
            stop=("\n",),
        )

    def read(self, order: Order, reply: Reply, **provenance: Any) -> Sample:
        """The sample in a reply. Whether it was cut short stands in its controls, for the funnel to judge."""
        continued = self.write.turns[-1][0] == "assistant"
        text = unquoted(order.opening + reply.text if continued else reply.text)
        controls = {"category": order.label, "opening": order.opening, "finish": reply.finish}
        return self.sample(text, order.label, controls=controls, **provenance)


def unquoted(text: str) -> str:
    """`text` without outer spaces and without one pair of quotation marks around all of it."""
    text = text.strip()
    if len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("“", "”"), ("'", "'")):
        return text[1:-1].strip()
    return text
