"""How likely a causal model finds texts: nats of a completion after its prompt, or of a text by itself."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ModelError
from ...models.pretrained import device, load_whole, loading
from ...samples import Sample
from .models import Found

if TYPE_CHECKING:
    from ...training.packing import Encoded


Heard = Callable[[int], object]
"""Hears how many rows are read."""


class Surprise(NamedTuple):
    """What a model makes of one text: nats over `tokens` tokens of it; `cut` where there was more to read.

    `greedy`: each of them is the one that the model would have written.
    """

    nats: float
    tokens: int
    cut: bool
    greedy: bool = False


class Likelihood:
    """A causal language model that reads and writes nothing."""

    def __init__(self, network: Any, tokenizer: Any, remark: str = "") -> None:
        self._network = network
        self._tokenizer = tokenizer
        self.positions = int(getattr(network.config, "max_position_embeddings", None) or 1 << 30)
        self._packs: bool | None = None
        self.remark = remark

    @classmethod
    def load(cls, found: Found) -> "Likelihood":
        """The model and its adapter, on the GPU where there is one. Raises ModelError for what is no causal model."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        network, tokenizer = load_whole(found.files, "causal language model", AutoModelForCausalLM, AutoTokenizer)
        if found.adapter is not None:
            from peft import PeftModel

            with loading(found.files.name, "a language model with its adapter"):
                network = PeftModel.from_pretrained(network, str(found.adapter))
        return cls(network.to(device()).eval(), tokenizer, found.remark)

    def of_completions(self, samples: Sequence[Sample], longest: int, heard: Heard) -> list[Surprise | str]:
        """The last answer of each sample after all that was said before it, with the mark that ends it.

        So it is the loss that a training would begin with. At most `longest` tokens of prompt and answer are read.
        Where nothing can be told there is a reason: `too_long` (the prompt alone), `empty`, `template_refuses` or
        `not_finite`.
        """
        return self._measured([self._answered(sample) for sample in samples], longest, heard)

    def of_texts(self, texts: Sequence[str], longest: int, heard: Heard) -> list[Surprise | str]:
        """Each text by itself, after the mark that begins one, or the reason why nothing can be told.

        A model without such a mark has the first token for nothing.
        """
        from ...training.packing import Encoded

        return self._measured([Encoded(*self._begun(self._ids(text))) for text in texts], longest, heard)

    def of_tokens(
        self, pairs: Sequence[tuple[list[int], list[int]]], longest: int, heard: Heard
    ) -> list[Surprise | str]:
        """Tokens that follow others, as they are given; else as `of_completions`."""
        from ...training.packing import Encoded

        return self._measured([Encoded(before, after) for before, after in pairs], longest, heard)

    def tokens(self, text: str, special: bool | None) -> list[int]:
        """`text` in tokens, with those that begin or end one if `special`, or if the tokenizer has it so (None)."""
        mark = self._tokenizer.bos_token
        if special is None and mark and text.startswith(mark):
            special = False
        options = {} if special is None else {"add_special_tokens": special}
        ids: list[int] = self._tokenizer(text, verbose=False, **options)["input_ids"]
        return ids

    @property
    def beginning(self) -> int:
        """The token that a text begins after: the mark of beginnings, or where there is none that of ends."""
        mark = self._tokenizer.bos_token_id
        return int(self._tokenizer.eos_token_id if mark is None else mark)

    def templated(self, turns: list[dict[str, str]], asks: bool) -> str:
        """A conversation in the model's chat template; `asks` for an answer, or goes on from the last turn."""
        return str(
            self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=asks, continue_final_message=not asks
            )
        )

    def _answered(self, sample: Sample) -> "Encoded | str":
        from ...training.packing import Encoded, turn_tokens

        last = max(at for at, turn in enumerate(sample.messages) if turn.role == "assistant")
        turns = [turn.model_dump() for turn in sample.messages[: last + 1]]
        if self._tokenizer.chat_template is None:  # a model that was never taught to chat reads on
            before = "".join(f"{turn['content']}\n\n" for turn in turns[:-1])
            start, read = self._begun(self._ids(before))
            return Encoded(start + read, self._ids(turns[-1]["content"]))
        try:
            return Encoded(*turn_tokens(turns, self._tokenizer, cut=sample.controls.get("finish") == "length"))
        except ModelError:  # such as a template that wants user and assistant by turns
            return "template_refuses"

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _begun(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """What a text is read after, and what of it is predicted."""
        mark = self._tokenizer.bos_token_id
        return (ids[:1], ids[1:]) if mark is None else ([mark], ids)

    def _measured(self, rows: "Sequence[Encoded | str]", longest: int, heard: Heard) -> list[Surprise | str]:
        from ...training.packing import Encoded

        longest = min(longest, self.positions)
        found: list[Surprise | str] = []
        fit: dict[int, Encoded] = {}
        for at, one in enumerate(rows):
            if isinstance(one, str):
                found.append(one)
            elif not one.prompt or not one.completion:
                found.append("empty")
            else:
                found.append("too_long")
                if len(one.prompt) < longest:
                    fit[at] = Encoded(one.prompt, one.completion[: longest - len(one.prompt)])
        done = 0
        for places in self._in_rows(fit):
            for at, (nats, greedy) in zip(places, self._nats([fit[at] for at in places]), strict=True):
                tokens = len(fit[at].completion)
                cut = len(fit[at]) < len(rows[at])
                found[at] = Surprise(nats, tokens, cut, greedy) if math.isfinite(nats) else "not_finite"
            heard(done := done + len(places))
        return found

    def _in_rows(self, rows: dict[int, "Encoded"]) -> Iterable[list[int]]:
        """The keys of `rows` in groups that are read together."""
        from ...training.packing import packing_holds
        from ...training.rows import in_rows

        if self._packs is None and rows:
            self._packs = packing_holds(self._network, max(len(one) for one in rows.values()))
        return in_rows({at: [one] for at, one in rows.items()}) if self._packs else ([at] for at in rows)

    def _nats(self, rows: Sequence["Encoded"]) -> list[tuple[float, bool]]:
        """Nats of the completion of each of `rows`, which are kin beside kin, and whether it is the greedy one.

        Logits are of completions only.
        """
        import torch
        from torch.nn.functional import cross_entropy

        from ...training.packing import alone, completion_logits, on_device, pack

        row = on_device(pack(rows) if self._packs else alone(rows[0]), self._network)
        with torch.inference_mode():
            logits = completion_logits(self._network, row).float()
            losses = cross_entropy(logits, row["targets"], reduction="none").double().cpu()
            greedy = (logits.argmax(dim=-1) == row["targets"]).cpu()
        sizes = [len(one.completion) for one in rows]
        parts = zip(torch.split(losses, sizes), torch.split(greedy, sizes), strict=True)
        return [(float(nats.sum()), bool(same.all())) for nats, same in parts]
