"""The Modelfile of one export: what of its loop and its tokenizer can be said in Ollama's words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..engines.endings import END_MARKS
from ..engines.llamacpp import LlamaCpp
from .card import Source
from .ollama import Turn, fixed_system, modelfile, pieces_of


def write_modelfile(source: Source, tokenizer: Any, weights: Path) -> list[str]:
    """Write `Modelfile` beside `weights`; returns what could not be said in it, in a sentence each."""
    notes = [f"Make it known to Ollama, in this folder: ollama create {source.name} -f Modelfile"]

    def render(turns: Sequence[Turn], ask: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))

    found = pieces_of(render, _begins(weights))
    if isinstance(found, str):
        notes.append(f"The Modelfile has no TEMPLATE, as {found}; Ollama takes the one that it finds in the GGUF.")
    pieces = None if isinstance(found, str) else found
    system = fixed_system(lambda text, passage: source.loop.writing().ask(text, (), passage))
    if system is None:
        notes.append("The Modelfile has no SYSTEM, as the task's prompt differs from question to question.")
    engine = source.loop.engine_for(source.base)
    context = engine.context if isinstance(engine, LlamaCpp) else LlamaCpp().context
    vocabulary = tokenizer.get_vocab()
    ends = [mark for mark in (tokenizer.eos_token, *END_MARKS) if mark in vocabulary]
    about = f"{source.name}, made by wheelwork from {source.base.name}; README.md says more"
    text = modelfile(weights.name, pieces, ends, system, context, about)
    (weights.parent / "Modelfile").write_text(text, encoding="utf-8")
    return notes


def _begins(weights: Path) -> str:
    """The mark that llama.cpp puts before a text by itself, as the GGUF says; often none."""
    import gguf

    fields = gguf.GGUFReader(weights).fields
    adds, number = fields.get("tokenizer.ggml.add_bos_token"), fields.get("tokenizer.ggml.bos_token_id")
    if adds is None or number is None or not adds.contents():
        return ""
    return str(fields["tokenizer.ggml.tokens"].contents(int(number.contents())))
