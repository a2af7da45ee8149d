"""Where an answer of the transformers engine ends: at a token, or before a stop string."""

from typing import Any

# llama.cpp ends at these whatever the model's files say (llama-vocab.cpp); an answer must not depend on the engine
END_MARKS = (
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<eos>"
)  # fmt: skip


class Stops:
    """Tells `generate` to end once one of the stop strings is in the text, and cuts it off."""

    def __init__(self, tokenizer: Any, prompt: int, stops: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._stops = stops

    def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        met = bool(self._stops) and self.cut(ids[0, self._prompt :].tolist())[1]
        return torch.tensor([met], device=ids.device)

    def cut(self, fresh: list[int]) -> tuple[str, bool]:
        """The text of the tokens before the first stop string, and whether there was one."""
        text = self._tokenizer.decode(fresh, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        return (text[: min(found)], True) if found else (text, False)


def end_tokens(tokenizer: Any, network: Any) -> list[int]:
    """The tokens that end an answer: what the model's files name, and what llama.cpp ends at besides."""
    vocabulary = tokenizer.get_vocab()
    named = network.generation_config.eos_token_id
    ends = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    ends.extend(vocabulary.get(mark) for mark in END_MARKS)
    known = list(dict.fromkeys(end for end in ends if end is not None))
    if not known:
        raise ValueError("it names no token that ends an answer")
    return known
