"""Settings of teachers, and asking one whether it can be asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from wheelwork.core.chat.budget import Prices
from wheelwork.core.chat.openai import OpenAIChat
from wheelwork.core.chat.preflight import reachable
from wheelwork.core.chat.transport import ConnectionTrouble, Received, Sent
from wheelwork.core.errors import ConfigError, TeacherError
from wheelwork.core.teachers import BlockTeacher, EmbeddedTeacher, OpenAITeacher, Teacher, teachers_for
from wheelwork.tests.fakes import impatiently

URL = "http://teacher.test/v1"
READ = TypeAdapter(Teacher)


def test_each_kind_is_read_by_its_name() -> None:
    assert READ.validate_python({"kind": "embedded"}) == EmbeddedTeacher()
    big = {"kind": "openai", "base_url": URL, "model": "big", "prices": {"prompt": 1, "completion": 2.5}}
    assert READ.validate_python(big) == OpenAITeacher(
        base_url=URL, model="big", prices=Prices(prompt=1, completion=2.5)
    )
    assert READ.validate_python({"kind": "block", "name": "our-teacher"}) == BlockTeacher(name="our-teacher")


def test_what_is_unset() -> None:
    embedded, endpoint = EmbeddedTeacher(), OpenAITeacher(base_url=URL, model="big")
    assert (embedded.roles, embedded.weight, embedded.choices) == (("writer",), 1.0, 8)
    assert (endpoint.roles, endpoint.weight, endpoint.choices, endpoint.prices) == (("writer",), 1.0, 1, None)


@pytest.mark.parametrize(
    "wrong",
    [{"roles": []}, {"roles": ["cook"]}, {"weight": -1}, {"weight": "inf"}, {"choices": 0}, {"choices": 65}],
)
@pytest.mark.parametrize("right", [{"kind": "embedded"}, {"kind": "block", "name": "b"}])
def test_bounds(right: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(right | wrong)


@pytest.mark.parametrize("kind", [EmbeddedTeacher, OpenAITeacher, BlockTeacher])
def test_every_field_is_described(kind: type[Any]) -> None:
    assert [name for name, field in kind.model_fields.items() if name != "kind" and not field.description] == []


def test_those_of_a_role_in_their_order() -> None:
    a = EmbeddedTeacher(roles=("writer", "judge"))
    b = BlockTeacher(name="b", roles=("judge",))
    c = OpenAITeacher(base_url=URL, model="c")
    assert teachers_for("writer", [a, b, c]) == (a, c)
    assert teachers_for("judge", [b, a, c]) == (b, a)
    assert teachers_for("verifier", [a, b, c]) == ()


def test_a_key_is_taken_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = OpenAITeacher(base_url=URL, model="big", api_key_env="TEACHER_KEY", parallel=3)
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"\$TEACHER_KEY, which is not set"):
        teacher.connect()
    monkeypatch.setenv("TEACHER_KEY", "s3cret")
    assert teacher.connect().parallel == 3


# asking whether it can be asked


def models(*names: str) -> Received:
    return Received(200, body=json.dumps({"data": [{"id": name} for name in names]}).encode())


def preflight(answer: Callable[[Sent], Received]) -> list[str]:
    """The paths that were asked."""
    paths: list[str] = []

    async def transport(sent: Sent) -> Received:
        paths.append(sent.url.removeprefix(URL))
        return answer(sent)

    impatiently(reachable(OpenAIChat(URL, "big", "s3cret", transport=transport)))
    return paths


def by_path(**answers: Received) -> Callable[[Sent], Received]:
    return lambda sent: answers["models" if sent.url.endswith("/models") else "completion"]


def test_a_model_in_the_list_is_enough() -> None:
    assert preflight(by_path(models=models("small", "big"))) == ["/models"]


@pytest.mark.parametrize("listed", [Received(404), Received(200, body=b"<html>"), Received(405), models("small")])
def test_a_model_that_is_not_listed_is_asked_for_one_token(listed: Received) -> None:
    def answer(sent: Sent) -> Received:
        if sent.method == "GET":
            return listed
        assert json.loads(sent.body)["max_tokens"] == 1
        return Received(200, body=b"{}")

    assert preflight(answer) == ["/models", "/chat/completions"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_the_users_to_mend(status: int) -> None:
    told = rf"^the teacher `big` at {URL}: refuses the key \(HTTP {status}\)"
    with pytest.raises(ConfigError, match=told):
        preflight(lambda sent: Received(status))
    with pytest.raises(ConfigError, match=told):
        preflight(by_path(models=models(), completion=Received(status)))


@pytest.mark.parametrize(
    ("listed", "completion", "hint"),
    [
        (models("big-2", "other"), Received(404, body=b"no"), "did you mean `big-2`"),
        (models("x", "y"), Received(400, body=b"unknown Model"), "it lists: x, y"),
        (Received(404), Received(404), "check its name"),
    ],
)
def test_an_unknown_model_is_named(listed: Received, completion: Received, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"`big` at {URL}: the endpoint does not serve this model.*{hint}"):
        preflight(by_path(models=listed, completion=completion))


def test_one_that_does_not_answer_is_named_after_a_few_tries() -> None:
    tries = 0

    def refuse(sent: Sent) -> Received:
        nonlocal tries
        tries += 1
        raise ConnectionTrouble(ConnectionRefusedError("nobody there"))

    with pytest.raises(TeacherError, match=rf"`big` at {URL}: cannot be reached \(ConnectionRefusedError.*start"):
        preflight(refuse)
    assert tries == 3


def test_trouble_that_passes_is_none() -> None:
    answers = iter([Received(503), Received(429), models("big")])
    assert preflight(lambda sent: next(answers)) == ["/models"] * 3


@pytest.mark.parametrize(("status", "told"), [(429, "answers no call now"), (503, "no call now"), (418, "refused a")])
def test_one_that_answers_no_call_is_told(status: int, told: str) -> None:
    with pytest.raises(TeacherError, match=told):
        preflight(by_path(models=Received(404), completion=Received(status)))
