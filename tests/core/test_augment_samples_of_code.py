"""Augmented samples of code: they parse, differ from their parent, and pass its test."""

from wheelwork.core.generation.augment.settings import (
    RenameVariables,
    Rewrite,
    RewriteCode,
)
from wheelwork.tests.core.augmenting import SOLUTION, TEST, children, coding
from wheelwork.tests.fakes import ScriptedChat


def test_code_is_renamed_and_rewritten_and_passes_its_test() -> None:
    parent = coding()
    renamed, rewritten = children([parent], None, RenameVariables(), Rewrite())
    assert [renamed.reject_reason, rewritten.reject_reason] == [None, None]
    assert renamed.completion != parent.completion != rewritten.completion
    assert renamed.prompt == parent.prompt
    assert renamed.controls == {"test": TEST, "operation": "rename_variables"}
    assert renamed.scores.keys() == {"parent_similarity"}


def test_a_fence_around_code_stays() -> None:
    fenced = coding(f"Here:\n```python\n{SOLUTION}\n```\nDone.")
    (child,) = children([fenced], None, Rewrite())
    assert child.reject_reason is None
    assert child.completion.startswith("Here:\n```python\ndef add(first, second):\n")
    assert child.completion.endswith("\n```\nDone.")


def test_code_of_a_teacher_must_parse_and_pass_the_test() -> None:
    replies = [
        "```python\ndef add(a, b):\n    return b + a\n```",
        "def add(a, b):\n    return a - b",
        "def add(a, b:",
        SOLUTION,
        "def add(a, b):\n    return b + a",
        "",
    ]
    asked: list[tuple[str, str]] = []

    def check(solution: str, test: str) -> str | None:
        asked.append((solution, test))
        return "test_failed" if "-" in solution else None

    found = children([coding()], ScriptedChat(replies), RewriteCode(times=6), check=check)
    assert [child.reject_reason for child in found] == [
        None,
        "test_failed",
        "does_not_parse",
        "unchanged",
        "duplicate",
        "empty",
    ]
    assert found[0].completion == "def add(a, b):\n    return b + a"
    assert {test for _, test in asked} == {TEST}
    assert len(asked) == 3


def test_the_real_test_runs() -> None:
    wrong = ScriptedChat(["def add(a, b):\n    return a - b"])
    assert [child.reject_reason for child in children([coding()], wrong, RewriteCode())] == ["test_failed"]


def test_code_without_a_test_cannot_be_checked() -> None:
    assert [child.reject_reason for child in children([coding(test=" ")], None, Rewrite())] == ["no_test"]


def test_code_with_nothing_to_change_is_unchanged() -> None:
    plain = coding("def add(_a, _b):\n    return _a + _b")
    found = children([plain], None, Rewrite(), RenameVariables())
    assert [child.reject_reason for child in found] == ["unchanged", "unchanged"]
