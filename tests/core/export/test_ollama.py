"""Chat templates in Go's language: read off, proved on conversations, or refused with a reason."""

import re
from collections.abc import Sequence

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from wheelwork.core.export.ollama import PROOF, Pieces, Render, Turn, fixed_system, modelfile, pieces_of
from wheelwork.core.loops import Loop
from wheelwork.core.samples import Message
from wheelwork.tests.tiny import CHAT_TEMPLATE

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: {{ m['content'] }} "
    "{% elif m['role'] == 'system' %}{{ m['content'] }}\n\n{% else %}ASSISTANT: {{ m['content'] }}</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def rendering(template: str) -> Render:
    compiled = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)

    def refuse(why: str) -> None:
        raise ValueError(why)

    def render(turns: Sequence[Turn], ask: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return compiled.render(
            messages=messages, add_generation_prompt=ask, bos_token="<s>", raise_exception=refuse
        )  # fmt: skip

    return render


def go(template: str, turns: Sequence[Turn]) -> str:
    """What Go's text/template makes of the few forms that `Pieces.go` writes."""
    system = any(role == "system" for role, _ in turns)
    head = re.compile(r"\{\{ if not \.System \}\}(.*?)\{\{ end \}\}(?=\{\{ range)", re.S)
    template = head.sub(lambda match: "" if system else match[1], template)
    begin, rest = template.split("{{ range .Messages }}")
    body, end = rest.split("{{ end }}{{ end }}")
    branches = dict(re.findall(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}(.*?)(?=\{\{ else if|\Z)', body, re.S))
    return begin + "".join(branches[role].replace("{{ .Content }}", said) for role, said in turns) + end


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, LLAMA3], ids=["chatml", "llama3"])
def test_go_writes_what_jinja_writes(template: str) -> None:
    render = rendering(template)
    pieces = pieces_of(render)
    assert isinstance(pieces, Pieces)
    for turns in PROOF:
        assert go(pieces.go(), turns) == pieces.render(turns) == render(turns, True)


def test_chatml_is_read_off_with_its_default_and_its_end() -> None:
    pieces = pieces_of(rendering(CHAT_TEMPLATE))
    assert isinstance(pieces, Pieces)
    assert pieces.stop == "<|im_end|>"
    assert pieces.default == "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert pieces.answer == "<|im_start|>assistant\n"


def test_a_mark_that_the_engine_sets_is_not_set_twice() -> None:
    pieces = pieces_of(rendering(LLAMA3), "<s>")
    assert isinstance(pieces, Pieces) and "<s>" not in pieces.go()


REFUSED = {
    "says more": ("{{ messages | length }}" + CHAT_TEMPLATE, "more than putting each turn"),
    "shouts": (CHAT_TEMPLATE.replace("message['content']", "message['content'] | upper"), "changes what is said"),
    "no system": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + PLAIN,
        "does not take an ordinary conversation .no system here",
    ),
    "braces": (CHAT_TEMPLATE.replace("<|im_end|>", "{{"), "braces"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_template_that_is_a_program_is_refused_with_the_reason(case: str) -> None:
    template, why = REFUSED[case]
    found = pieces_of(rendering(template))
    assert isinstance(found, str) and re.search(why, found)


def test_a_modelfile_names_weights_template_end_and_system() -> None:
    pieces = pieces_of(rendering(CHAT_TEMPLATE))
    assert isinstance(pieces, Pieces)
    text = modelfile("a.gguf", pieces, ["<|im_end|>", "<|endoftext|>"], "Be brief.", 512, "made here")
    assert text.startswith('# made here\nFROM ./a.gguf\nTEMPLATE """')
    assert text.count("PARAMETER stop") == 2 and 'PARAMETER stop """<|im_end|>"""' in text
    assert text.endswith('PARAMETER temperature 0\nPARAMETER num_ctx 512\nSYSTEM """Be brief."""\n')


def test_a_system_prompt_is_fixed_where_only_the_users_words_differ(loop: Loop) -> None:
    system = fixed_system(lambda text, passage: loop.writing().ask(text, (), passage))
    assert system is not None and "line, wifi, bill" in system

    def grounded(text: str, passage: str) -> tuple[Message, ...]:
        return Message(role="system", content=f"Answer from: {passage}"), Message(role="user", content=text)

    assert fixed_system(grounded) is None
