"""How a child's text is made: what a teacher is asked for, what words or code turn into, and what is plainly wrong."""

import asyncio
import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...chat.messages import Chat, ChatRequest
from ...errors import BudgetSpent, ConfigError
from ...prompts import Template, load_phrases, load_template
from ...samples import Sample, is_unicode
from ...text import normalised, words
from ..code_checks import parses, run_test
from ..parsing import unquoted
from .renames import rename_variables
from .rewrites import rewrite_code
from .settings import BackTranslation, Operation, RenameVariables, Rewrite, TeacherOperation, Words
from .synonyms import FillMask
from .words import substitute

FENCED = re.compile(r"```[^\n`]*\n(?P<code>.*?)\n?```", re.DOTALL)
Check = Callable[[str, str], str | None]  # solution and test → why it fails, None when it passes


@dataclass(frozen=True)
class Wish:
    """One child that is wanted: of which parent, by which operation, and which of that operation's children it is."""

    parent: Sample
    operation: Operation
    number: int
    seed: int

    @property
    def text(self) -> str:
        """What the operation works on: the last thing that the user said, or the code of the answer."""
        if self.operation.works_on == "prompt":
            return self.parent.prompt
        return code_in(self.parent.completion)


@dataclass(frozen=True)
class Draft:
    """The text that came of a wish, with what the writer was told, and the reason when it is plainly none."""

    wish: Wish
    text: str
    told: Mapping[str, str]
    reason: str | None = None


class Prompts:
    """The templates of the operations that a teacher does, in one language."""

    def __init__(self, operations: Sequence[Operation], language: str = "en", overrides: Path | None = None) -> None:
        self._language = language
        self._templates: dict[str, Template] = {}
        self._languages: Mapping[str, str] = {}
        for operation in operations:
            if isinstance(operation, TeacherOperation):
                for name in operation.templates:
                    self._templates[name] = load_template("augment", name, language, overrides)
            if isinstance(operation, BackTranslation):
                self._languages = load_phrases(language, overrides).get("languages") or {}

    def told(self, wish: Wish) -> dict[str, str]:
        """What a teacher is told besides the text: an operation's values by turns, from one that the parent picks."""
        if not isinstance(wish.operation, TeacherOperation):
            return {}
        start = int(wish.parent.id[:8], 16)
        options = wish.operation.options(self._language)
        return {name: values[(start + wish.number) % len(values)] for name, values in options.items()}

    def request(self, wish: Wish, step: int, text: str) -> ChatRequest:
        """The call that makes the next text out of `text`."""
        assert isinstance(wish.operation, TeacherOperation)
        name = wish.operation.templates[step]
        offered = {"text": text} | self.told(wish)
        if isinstance(wish.operation, BackTranslation):
            code = self._language if name == "from_pivot" else offered["language"]
            offered["language"] = str(self._languages.get(code, code))
        return ChatRequest(
            messages=self._templates[name].fill(offered),
            max_tokens=wish.operation.max_tokens,
            temperature=wish.operation.temperature,
            top_p=wish.operation.top_p,
            seed=wish.seed,
        )


class Writer:
    """Looks like a chat to `ask_all`, takes wishes, and answers with drafts."""

    def __init__(
        self,
        prompts: Prompts,
        chat: Chat | None,
        sources: Mapping[Words, FillMask],
        labels: Sequence[str] = (),
        check: Check = run_test,
    ) -> None:
        self._prompts = prompts
        self._chat = chat
        self._sources = sources
        self._label_words = frozenset(word for label in labels for word in _words_of(label))
        self._check = check
        self._model_free = asyncio.Lock()  # a masked model uses all cores by itself
        self._core_free = asyncio.Semaphore(os.cpu_count() or 1)  # more tests at once would only slow each other

    @property
    def parallel(self) -> int:
        return self._chat.parallel if self._chat is not None else os.cpu_count() or 1

    async def __call__(self, wish: Wish) -> Draft:
        told = self._prompts.told(wish)
        try:
            text, reason = await self._write(wish)
        except BudgetSpent:
            text, reason = "", "budget_spent"
        if not is_unicode(text):
            text, reason = text.encode("utf-8", "replace").decode(), reason or "not_unicode"
        reason = reason or _fault(wish, text)
        if reason is None and wish.operation.works_on == "code":
            reason = await self._tested(wish, text)
        return Draft(wish, text, told, reason)

    async def _write(self, wish: Wish) -> tuple[str, str | None]:
        """A text, and the reason when it is none; where an operation has nothing to change, the text as it was."""
        operation, rng = wish.operation, random.Random(wish.seed)
        if isinstance(operation, TeacherOperation):
            return await self._ask(wish)
        if isinstance(operation, Words):
            kept = self._label_words | set(_words_of(wish.parent.label or wish.parent.completion))
            source = self._sources[operation]
            async with self._model_free:
                made = await asyncio.to_thread(substitute, wish.text, operation.share, source, rng, kept)
            return made or wish.text, None
        test = wish.parent.controls.get("test", "")
        if isinstance(operation, RenameVariables):
            return rename_variables(wish.text, test, rng, wish.parent.prompt) or wish.text, None
        assert isinstance(operation, Rewrite)
        return rewrite_code(wish.text, test, rng, operation.most) or wish.text, None

    async def _ask(self, wish: Wish) -> tuple[str, str | None]:
        if self._chat is None:
            raise ConfigError(f"augmentation: `{wish.operation.kind}` needs a teacher; name one, or leave it out")
        assert isinstance(wish.operation, TeacherOperation)
        text = wish.text
        for step in range(len(wish.operation.templates)):
            reply = await self._chat(self._prompts.request(wish, step, text))
            text = code_in(reply.text) if wish.operation.works_on == "code" else unquoted(reply.text)
            if not text or reply.finish == "length":
                return text, "cut_off" if text else "empty"
        return text, None

    async def _tested(self, wish: Wish, source: str) -> str | None:
        test = wish.parent.controls.get("test", "")
        if not test.strip():
            return "no_test"
        if (reason := parses(source)) is not None:
            return reason
        async with self._core_free:
            return await asyncio.to_thread(self._check, source, test)


def code_in(text: str) -> str:
    """The code of a fenced block, or the whole text where there is none."""
    match = FENCED.search(text)
    return match["code"] if match else text.strip("\n").rstrip()


def with_code(text: str, code: str) -> str:
    """`text` with other code in its fence, or only that code where it has none."""
    match = FENCED.search(text)
    return text[: match.start("code")] + code + text[match.end("code") :] if match else code


def _fault(wish: Wish, text: str) -> str | None:
    """What is wrong with a text at first sight."""
    if not text.strip():
        return "empty"
    if wish.operation.works_on == "code":
        return "unchanged" if text.strip() == wish.text.strip() else None
    return "unchanged" if normalised(text) == normalised(wish.text) else None


def _words_of(label: str) -> list[str]:
    return words(re.sub(r"[_\W]+", " ", label))
