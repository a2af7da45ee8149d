"""Parents to augment, and the children that come of them."""

import asyncio
from collections.abc import Iterable
from typing import Any

from wheelwork.core.generation.augment.children import augment
from wheelwork.core.generation.augment.settings import (
    Augmentation,
)
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

SOLUTION = """def add(first, second):
    if first:
        total = first + second
    else:
        total = second
    return total"""
TEST = "assert add(1, 2) == 3"


def message(text: str, label: str | None = "billing", answer: str = "", **rest: Any) -> Sample:
    turns = (
        Message(role="system", content="Read the message."),
        Message(role="user", content=text),
        Message(role="assistant", content=answer or label or "yes"),
    )
    rest = {"task": "classify", "origin": "seed", "source": "seeds.jsonl:3"} | rest
    return Sample.make(turns, label=label, **rest)


def coding(solution: str = SOLUTION, test: str = TEST) -> Sample:
    return message("Add two numbers.", None, solution, task="code", controls={"test": test})


def children(samples: Iterable[Sample], chat: Any = None, *operations: Any, **more: Any) -> list[Sample]:
    async def collect() -> list[Sample]:
        augmentation = Augmentation(operations=operations)
        return [child async for child in augment(samples, augmentation, chat, FakeEncoder(), **more)]

    return asyncio.run(collect())


def texts(samples: Iterable[Sample]) -> list[tuple[str, str | None]]:
    return [(sample.prompt, sample.reject_reason) for sample in samples]
