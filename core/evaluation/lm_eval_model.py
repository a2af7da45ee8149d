"""What answers lm-eval: chats of the serving engine, or log-likelihoods of the training stack. Needs lm-eval."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ..chat.messages import ChatRequest, Reply
from ..errors import ConfigError
from ..samples import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..quality.scores.likelihood import Heard, Likelihood, Surprise


class Served(TemplateLM):  # type: ignore[misc]
    """Answers `generate_until` through `ask`, with at most `longest` tokens unless the task says otherwise."""

    tokenizer_name = "wheelwork"

    def __init__(self, task: Path, ask: "Callable[[Sequence[ChatRequest]], list[Reply]]", longest: int) -> None:
        super().__init__()
        self._task, self._ask, self._longest = task, ask, longest

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as it is; the engine puts it into the template."""
        return json.dumps(chat_history, ensure_ascii=False)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        asked = [request_of(self._task, one.args[0], one.args[1], self._longest) for one in requests]
        # prompts that begin alike one after the other, as `ask_suite` has them
        order = sorted(range(len(asked)), key=lambda at: [turn.content for turn in asked[at].messages])
        found = dict(zip(order, self._ask([asked[at] for at in order]), strict=True))
        return [found[at].text for at in range(len(asked))]

    @property
    def eot_token_id(self) -> int:
        raise _asked_for(self._task, "log-likelihoods")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        raise _asked_for(self._task, "log-likelihoods")

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
        raise _asked_for(self._task, "log-likelihoods")

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        raise _asked_for(self._task, "log-likelihoods")


class Read(TemplateLM):  # type: ignore[misc]
    """Tells the log-likelihoods of `model`; `heard` hears how many rows are read."""

    tokenizer_name = "wheelwork"

    def __init__(self, task: Path, model: "Likelihood", heard: "Heard") -> None:
        super().__init__()
        self._task, self._model, self._heard = task, model, heard

    @property
    def eot_token_id(self) -> int:
        return self._model.beginning

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self._model.templated(chat_history, add_generation_prompt)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        return self._model.tokens(string, add_special_tokens)

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
        return [_told(one) for one in self._read([(context, rest) for _, context, rest in requests])]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Each text whole, after the mark that begins one; in windows where it is longer than the model reads."""
        pairs, owners = [], []
        for at, one in enumerate(requests):
            for window in get_rolling_token_windows(
                token_list=self._model.tokens(one.args[0], None),
                prefix_token=self._model.beginning,
                max_seq_len=self._model.positions,
                context_len=1,
            ):
                pairs.append(make_disjoint_window(window))
                owners.append(at)
        sums = [0.0] * len(requests)
        for at, read in zip(owners, self._read(pairs), strict=True):
            sums[at] += _told(read)[0]
        return sums

    def _read(self, pairs: Sequence[tuple[list[int], list[int]]]) -> "list[Surprise | str]":
        room = self._model.positions
        # what does not fit goes from the left, as lm-eval's own backend has it
        cut = [(context[-max(1, room - len(rest)) :], rest) for context, rest in pairs]
        return self._model.of_tokens(cut, room, self._heard)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        raise _asked_for(self._task, "replies")


def request_of(task: Path, context: str, options: dict[str, Any], longest: int) -> ChatRequest:
    """One request of `generate_until`, whose context is a conversation as JSON. ConfigError for drawn replies."""
    if options.get("do_sample") or float(options.get("temperature") or 0) > 0:
        raise ConfigError(
            f"{task}: the task draws its replies; only greedy ones fit a benchmark: set `do_sample: false`"
        )
    until = options.get("until") or []
    stop = tuple(one for one in ([until] if isinstance(until, str) else until) if one)
    turns = tuple(Message(role=turn["role"], content=turn["content"]) for turn in json.loads(context))
    most = int(options.get("max_gen_toks") or options.get("max_new_tokens") or longest)
    return ChatRequest(messages=turns, max_tokens=most, stop=stop)


def _asked_for(task: Path, what: str) -> ConfigError:
    """A task is answered by one of the two, as the `output_type` in its own file says, not in one that it includes."""
    return ConfigError(f"{task}: the task asks for {what}, and does not say so; write its `output_type` into this file")


def _told(read: "Surprise | str") -> tuple[float, bool]:
    return (float("nan"), False) if isinstance(read, str) else (-read.nats, read.greedy)
