"""A Modelfile for Ollama: the weights, the chat template in Go's language, where an answer ends, the system prompt.

A chat template in Jinja is a program and cannot be translated as such. Those of most models only put each turn between
two fixed pieces of text, so the pieces are read off from what the template makes of turns with known words, and taken
only if they make the same of other conversations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..samples import Message

Turn = tuple[str, str]  # role and content
Render = Callable[[Sequence[Turn], bool], str]
"""The text of a conversation, with or without the beginning of the answer; raises for one that it does not take."""

SAID = {"system": "Sssss", "user": "Uuuuu", "assistant": "Aaaaa"}
PROOF: tuple[Sequence[Turn], ...] = (
    [("user", "Hi.")],
    [("system", "Be brief."), ("user", "Hi.")],
    [("user", "One"), ("assistant", "Two"), ("user", "Three")],
    [("system", "Be\nbrief."), ("user", "One?"), ("assistant", "Two!"), ("user", "Three\n\nfour")],
)


@dataclass(frozen=True)
class Pieces:
    """What a template writes around turns."""

    begin: str
    """Before everything, such as the mark that begins a text."""
    default: str
    """Instead of a system turn where there is none; often empty."""
    around: dict[str, tuple[str, str]]
    """Role → what stands before and behind its words."""
    answer: str
    """Asks for the answer."""

    def render(self, turns: Sequence[Turn]) -> str:
        """As the template that `go()` writes renders `turns`."""
        system = "" if turns and turns[0][0] == "system" else self.default
        body = "".join(f"{self.around[role][0]}{said}{self.around[role][1]}" for role, said in turns)
        return self.begin + system + body + self.answer

    @property
    def stop(self) -> str:
        """The mark that ends an answer."""
        return self.around["assistant"][1].strip()

    def without(self, mark: str) -> "Pieces":
        """The same without `mark`, which begins a text, where it begins it."""
        if self.begin:
            return replace(self, begin=self.begin.removeprefix(mark))
        before, behind = self.around["system"]
        around = self.around | {"system": (before.removeprefix(mark), behind)}
        return replace(self, default=self.default.removeprefix(mark), around=around)

    def go(self) -> str:
        """The template in Go's language, as Ollama reads it."""
        default = f"{{{{ if not .System }}}}{self.default}{{{{ end }}}}" if self.default else ""
        branches = "".join(
            f'{{{{ {"else if" if number else "if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{behind}'
            for number, (role, (before, behind)) in enumerate(self.around.items())
        )
        return f"{self.begin}{default}{{{{ range .Messages }}}}{branches}{{{{ end }}}}{{{{ end }}}}{self.answer}"


def pieces_of(render: Render, begins_by_itself: str = "") -> Pieces | str:
    """What the template behind `render` writes around turns, or why it cannot be told, in half a sentence.

    `begins_by_itself` is the mark that the engine puts before a text anyhow; it is left out.
    """
    try:
        found = _read_off(render)
        if found is None:
            return "its chat template changes what is said, or where turns stand"
        for turns in PROOF:
            if render(turns, True) != found.render(turns):
                return "its chat template does more than putting each turn between two pieces of text"
    except Exception as error:  # a template raises what its author liked, a role that it does not take as well
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        return f"its chat template does not take an ordinary conversation ({reason})"
    written = found.render([("user", ""), ("assistant", "")]) + "".join(found.around["system"])
    if "{{" in written or not fits_quotes(found.go()):
        return "its chat template writes braces or quotation marks, which mean something else in a Modelfile"
    return found.without(begins_by_itself)


def _read_off(render: Render) -> Pieces | None:
    system, user, assistant = ((role, SAID[role]) for role in ("system", "user", "assistant"))
    whole = render([system, user, assistant, user], False)
    parts = _cut(whole, [SAID["system"], SAID["user"], SAID["assistant"], SAID["user"]])
    twice = _cut(render([system, user, assistant, user, assistant], False), [SAID["assistant"]] * 2)
    if parts is None or twice is None:
        return None
    first, system_user, user_assistant, assistant_user, last = parts
    # `last` stands behind a user's words, so it tells where those end in `user_assistant`
    if not user_assistant.startswith(last):
        return None
    before_assistant = user_assistant.removeprefix(last)
    behind_assistant = twice[2]
    if not assistant_user.startswith(behind_assistant):
        return None
    before_user = assistant_user.removeprefix(behind_assistant)
    if not system_user.endswith(before_user):
        return None
    behind_system = system_user.removesuffix(before_user)
    alone = _cut(render([user], True), [SAID["user"]])
    if alone is None or not alone[0].endswith(before_user) or not alone[1].startswith(last):
        return None
    # what stands first in both is the beginning; the rest is the default system turn, or what opens one
    default, begin = alone[0].removesuffix(before_user), ""
    if not first.startswith(default) or default == "":
        before_system = first
    else:
        begin, before_system, default = default, first.removeprefix(default), ""
    around = {
        "system": (before_system, behind_system),
        "user": (before_user, last),
        "assistant": (before_assistant, behind_assistant),
    }
    return Pieces(begin, default, around, alone[1].removeprefix(last))


def _cut(text: str, words: Sequence[str]) -> list[str] | None:
    """What stands before, between and behind `words` in `text`, in their order; None when one is not there."""
    parts = []
    for word in words:
        before, found, text = text.partition(word)
        if not found:
            return None
        parts.append(before)
    return [*parts, text]


def modelfile(
    weights: str, pieces: Pieces | None, ends: Sequence[str], system: str | None, context: int, about: str
) -> str:
    """The text of a Modelfile beside the file `weights`.

    `ends` are marks that end an answer besides the template's own; `about` is a comment of one line.
    """
    lines = [f"# {about}", f"FROM ./{weights}"]
    if pieces is not None:
        lines.append(f"TEMPLATE {_quoted(pieces.go())}")
    stops = [*([pieces.stop] if pieces and pieces.stop else []), *ends]
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in dict.fromkeys(stops)]
    lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {context}"]
    if system is not None:
        lines.append(f"SYSTEM {_quoted(system)}")
    return "\n".join(lines) + "\n"


def fits_quotes(text: str) -> bool:
    """Whether `text` can stand between the three quotation marks of a Modelfile."""
    return '"""' not in text and not text.endswith('"')


def fixed_system(ask: Callable[[str, str], tuple[Message, ...]]) -> str | None:
    """The system prompt of a task whose prompts all begin with it and go on with the user's own words; else None.

    `ask` gives the messages for a text and a passage.
    """
    one, other = ask("One text.", "One passage."), ask("Another.", "Some other passage.")
    if [turn.role for turn in one] != ["system", "user"] or one[0] != other[0] or one[1].content != "One text.":
        return None
    return one[0].content if fits_quotes(one[0].content) else None


def _quoted(text: str) -> str:
    return f'"""{text}"""'
