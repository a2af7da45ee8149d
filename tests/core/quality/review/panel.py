"""Reviewers that answer by rule, samples for them to look at, and the filters' answers as one line a row."""

import json
from collections.abc import Callable
from typing import Any

from wheelwork.core.chat.messages import Chat, ChatRequest, Reply
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.review.asking import Review, Reviewer
from wheelwork.core.samples import Message, Sample
from wheelwork.core.teachers import Role
from wheelwork.tests.fakes import AnsweringChat, FakeEncoder

Rule = Callable[[str], str | Reply | Exception]
"""From the last message of a request to the reply."""


def reviewer(rule: Rule, model: str = "judge-1") -> Reviewer:
    return Reviewer(model, AnsweringChat(lambda request: rule(said(request)), fingerprint=model))


def said(request: ChatRequest) -> str:
    return request.messages[-1].content


def panel(role: Role, *rules: Rule, **more: Any) -> Review:
    """A review of one role; its models are called alpha, beta, gamma …"""
    names = ("alpha-7b", "beta-7b", "gamma-7b", "delta-7b", "epsilon-7b")
    reviewers = [reviewer(rule, name) for rule, name in zip(rules, names, strict=False)]
    return Review({role: reviewers}, **more)


def chats(review: Review, role: Role) -> list[AnsweringChat]:
    def ours(chat: Chat) -> AnsweringChat:
        assert isinstance(chat, AnsweringChat)
        return chat

    return [ours(one.chat) for one in review.reviewers(role)]


def context(review: Review | None) -> FunnelContext:
    return FunnelContext(FakeEncoder(), [("a seed", "")], review=review)


def sample(answer: str, question: str = "How long is the notice?", system: str = "Answer.", **rest: Any) -> Sample:
    turns = [Message(role="system", content=system), Message(role="user", content=question)]
    given = {"task": "qa", "origin": "teacher"} | rest
    return Sample.make([*turns, Message(role="assistant", content=answer)], **given)


def grades(accuracy: int, structure: int = 5, truthfulness: int = 5, because: str = "so it is") -> str:
    """A judge's reply."""
    marks = {"accuracy": accuracy, "structure": structure, "truthfulness": truthfulness}
    return json.dumps(
        {key: value for name, mark in marks.items() for key, value in ((f"{name}_reason", because), (name, mark))}
    )


def answer_of(text: str) -> str:
    """The answer in a prompt of the review."""
    return text.split("<answer>\n")[1].split("\n</answer>")[0]
