"""Templates: strict heads, strict variables, the loop's own before the packaged, and the packaged ones in order."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.prompts import load_phrases, load_template, parse_template, phrase
from wheelwork.core.samples import Message

HEAD = "---\nname: try\ntask: classify\nlanguage: en\npurpose: to try\nvariables: [who, what]\n---\n"
BODY = "# system\nYou are {{ who }}.\n# user\nSay {{ what }}.\n"


def said(*turns: tuple[str, str]) -> list[tuple[str, str]]:
    return list(turns)


def turns_of(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


def test_a_heading_opens_a_message_and_variables_are_filled_in() -> None:
    messages = parse_template(HEAD + BODY, "t.md").render(who="Ann", what="hi")
    assert turns_of(messages) == said(("system", "You are Ann."), ("user", "Say hi."))


def test_a_loop_over_a_list_leaves_no_blank_lines() -> None:
    body = "# user\nAs {{ who }}:\n{% for one in what %}\n- {{ one }}\n{% endfor %}\n# assistant\n- so"
    messages = parse_template(HEAD + body, "t.md").render(who="Ann", what=["a", "b"])
    assert turns_of(messages) == said(("user", "As Ann:\n- a\n- b"), ("assistant", "- so"))


@pytest.mark.parametrize("heading", ["# user ", "# user\t"])
def test_spaces_after_a_heading_do_not_hide_it(heading: str) -> None:
    template = parse_template(HEAD + f"# system\n{{{{ who }}}}\n{heading}\n{{{{ what }}}}", "t.md")
    assert [role for role, _ in template.turns] == ["system", "user"]


def test_a_heading_may_end_the_file() -> None:
    template = parse_template(HEAD + "# user\n{{ who }} {{ what }}\n# assistant", "t.md")
    assert turns_of(template.render(who="a", what="b"))[1] == ("assistant", "")


@settings(deadline=None, max_examples=50)
@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["# user\n", "{{ who }}", "{% if %}", "---\n"])
)
def test_what_is_filled_in_is_never_read_as_template(text: str, sign: str) -> None:
    value = f"a{text}{sign}{text}z"
    messages = parse_template(HEAD + BODY, "t.md").render(who=value, what="hi")
    assert turns_of(messages) == said(("system", f"You are {value}."), ("user", "Say hi."))


@pytest.mark.parametrize(
    ("values", "named"), [({"who": "a"}, "what"), ({}, "what, who"), ({"who": "a", "what": "b", "why": "c"}, "why")]
)
def test_a_variable_missing_or_not_used_is_named(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^template `try`: {named} missing or not a variable of it"):
        parse_template(HEAD + BODY, "t.md").render(**values)


@pytest.mark.parametrize(
    "expression",
    ["what.deep.er", "what[0].x", "1 / 0", "what + 1", "what.__class__.__mro__"],
)
def test_an_expression_that_fails_names_the_template(expression: str) -> None:
    body = f"# user\n{{{{ who }}}} {{{{ what }}}} {{{{ {expression} }}}}"
    with pytest.raises(ConfigError, match=r"^template `try`: "):
        parse_template(HEAD + body, "t.md").render(who="Ann", what="hi")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "a template begins with a YAML head between two lines of `---`"),
        (BODY, "a template begins with a YAML head"),
        ("---\nname: x\n" + BODY, "a template begins with a YAML head"),
        ("---\nname: [\n---\n" + BODY, "the head is not valid YAML"),
        ("---\nname: \x07\n---\n" + BODY, "the head is not valid YAML"),
        ("---\njust words\n---\n" + BODY, "expected `key: value` settings"),
        (HEAD.replace("purpose: to try\n", "") + BODY, "`purpose` is missing"),
        (HEAD.replace("purpose", "porpoise") + BODY, "unknown key `porpoise`; did you mean `purpose`?"),
        (HEAD.replace("[who, what]", "who") + BODY, "`variables`"),
        (HEAD, "the body is made of"),
        (HEAD + "Hello.\n" + BODY, "the body is made of .* nothing before"),
        (HEAD + "# judge\n{{ who }} {{ what }}", "the body is made of"),
        (HEAD + BODY.replace("{{ what }}", "hi"), "what stands in the head or in the body, but not in both"),
        (HEAD + BODY.replace("hi", "{{ why }}").replace("{{ what }}", "{{ why }}"), "what, why stands in"),
        (HEAD + BODY.replace("{{ what }}", "{{ what"), "expected name or number"),
        (HEAD + BODY + "{% if what %}", "[Uu]nexpected end of template"),
        (HEAD + BODY + "{{ what | nosuch }}", "nosuch"),
    ],
)
def test_a_template_that_is_not_in_order_is_named(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^t\.md: .*({what})"):
        parse_template(text, "t.md")


def test_the_digest_tells_what_is_asked_and_not_where_it_lies() -> None:
    one = parse_template(HEAD + BODY, "a.md").digest
    assert parse_template(HEAD.replace("to try", "to try again") + BODY, "b.md").digest == one
    assert parse_template(HEAD + BODY.replace("Say", "Tell"), "a.md").digest != one


# finding a template


def own(folder: Path, text: str) -> Path:
    path = folder / "en" / "classify" / "answer.md"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return folder


def test_the_loops_own_template_goes_before_the_packaged_one(tmp_path: Path) -> None:
    overrides = own(tmp_path, HEAD + BODY)
    assert load_template("classify", "answer", overrides=overrides).head.name == "try"
    assert load_template("classify", "continue", overrides=overrides).head.name == "continue"
    assert load_template("classify", "answer", overrides=tmp_path / "none").head.name == "answer"


def test_the_loops_own_template_is_named_by_its_path(tmp_path: Path) -> None:
    overrides = own(tmp_path, "hello")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/en/classify/answer\.md: a template begins"):
        load_template("classify", "answer", overrides=overrides)
    (tmp_path / "en" / "classify" / "answer.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"answer\.md: .*UTF-8"):
        load_template("classify", "answer", overrides=overrides)


@pytest.mark.parametrize(
    "where", [("classify", "nosuch", "en"), ("nosuch", "answer", "en"), ("classify", "answer", "xx")]
)
def test_an_unknown_template_says_where_it_would_go(where: tuple[str, str, str]) -> None:
    task, name, language = where
    with pytest.raises(ConfigError, match=rf"no template `{language}/{task}/{name}\.md`; put one into .* prompts/"):
        load_template(task, name, language)


# what comes back


def with_output(output: str) -> str:
    return HEAD.replace("purpose: to try\n", f"purpose: to try\noutput: {output}\n") + BODY


def test_fields_and_their_descriptions_become_a_schema() -> None:
    template = parse_template(with_output("{question: what is asked, answer: what is said}"), "t.md")
    assert template.output_schema == {
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "what is asked"},
            "answer": {"type": "string", "description": "what is said"},
        },
        "required": ["question", "answer"],
        "additionalProperties": False,
    }


def test_a_whole_schema_is_taken_as_it_stands() -> None:
    template = parse_template(with_output("{type: array, items: {type: string}}"), "t.md")
    assert template.output_schema == {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize("output", ["text", "fields"])
def test_plain_replies_have_no_schema(output: str) -> None:
    assert parse_template(with_output(output), "t.md").output_schema is None


def test_a_schema_that_is_none_names_the_template() -> None:
    with pytest.raises(ConfigError, match=r"^t\.md: `output` is no JSON schema: 'strange' is not valid"):
        parse_template(with_output("{type: strange}"), "t.md")


def test_of_what_is_offered_a_template_takes_what_it_names() -> None:
    template = parse_template(HEAD + BODY, "t.md")
    assert template.fill({"who": "Ann", "what": "hi", "why": "so"}) == template.render(who="Ann", what="hi")
    with pytest.raises(ConfigError, match="what missing"):
        template.fill({"who": "Ann"})


# phrases


def test_the_loops_own_phrases_go_before_the_packaged_ones(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "rules.yaml").write_text("tone: sound {{ tone }}")
    assert load_phrases("en", tmp_path) == {"tone": "sound {{ tone }}"}
    assert set(load_phrases("en")) == set(load_phrases("zh"))
    with pytest.raises(ConfigError, match=r"no file of rules `xx/rules\.yaml`"):
        load_phrases("xx")


def test_a_phrase_that_fails_names_its_file() -> None:
    assert phrase("sound {{ tone }}", "rules.yaml", tone="glad") == "sound glad"
    with pytest.raises(ConfigError, match=r"^rules\.yaml: 'tone' is undefined"):
        phrase("sound {{ tone }}", "rules.yaml")
