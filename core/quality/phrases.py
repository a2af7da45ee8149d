"""Phrases by which a text gives away that it was written for a prompt and not by a person, in English and Chinese."""

from collections.abc import Sequence
from typing import Literal

from .parts import Part

PhraseLanguage = Literal["en", "zh"]

MACHINE: dict[PhraseLanguage, tuple[str, ...]] = {
    "en": ("as an ai", "language model"),
    "zh": (
        "作为一个ai", "作为一名ai", "作为ai", "作为一个人工智能", "作为一名人工智能", "作为人工智能助",
        "作为人工智能模",
        "作为人工智能，", "语言模型",
    ),
}  # fmt: skip
"""What nobody says."""

OTHER_SIDE: dict[PhraseLanguage, tuple[str, ...]] = {
    "en": (
        "customer message", "here is a", "here's a", "the customer", "topic:", "i can help you", "how can i help",
        "we can help you",
    ),
    "zh": (
        "客户消息", "用户消息", "以下是一", "这是一条", "这是一则", "该客户", "这位客户", "主题：", "话题：",
        "我可以帮您", "我可以帮助您", "有什么可以帮", "我们可以帮您", "很高兴为您服务",
    ),
}  # fmt: skip
"""What the prompt or the assistant says, and no customer."""


def phrases_for(language: PhraseLanguage, judges: Sequence[Part]) -> tuple[str, ...]:
    """What is banned where the user names nothing: an answer may well begin with `How can I help`."""
    return (*MACHINE[language], *(() if "answer" in judges or "history" in judges else OTHER_SIDE[language]))
