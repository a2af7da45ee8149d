"""Personal data and secrets: what is found, and what only looks like it."""

import pytest
from wheelwork.core.quality.personal import DEFAULT_KINDS, Span, find, mask
from wheelwork.core.quality.personal.credentials import entropy
from wheelwork.core.quality.personal.numbers import luhn, mod11, mod97
from wheelwork.tests.core.quality.personal_texts import ALL, FOUND, NOT_FOUND


@pytest.mark.parametrize(("text", "masked"), FOUND)
def test_what_is_found_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert find(text) == []
    assert mask(text) == text


def test_spans_say_what_and_where() -> None:
    assert find("a@b.cn or 13800138000") == [Span("email", 0, 6), Span("phone", 10, 21)]


def test_only_the_kinds_that_are_asked_for_are_found() -> None:
    assert mask("a@b.cn or 13800138000", ("phone",)) == "a@b.cn or [PHONE]"


def test_of_two_kinds_the_more_specific_wins() -> None:
    assert mask("password: 4111111111111111") == "password: [SECRET]"
    assert mask("phone 11010519491231002X") == "phone [CN_ID]"
    assert mask("13800138000@139.com") == "[EMAIL]"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("dns 8.8.8.8, 10.0.0.1, 127.0.0.1, 192.0.2.7.", "dns [IP], 10.0.0.1, 127.0.0.1, 192.0.2.7."),
        ("2001:4860:4860::8888 2001:db8::1 fe80::1 a::b 12:30:45", "[IP] 2001:db8::1 fe80::1 a::b 12:30:45"),
        ("version 8.8.8.8, 1.2.3, 300.1.1.1, 1.1.1.1.1", "version 8.8.8.8, 1.2.3, 300.1.1.1, 1.1.1.1.1"),
    ],
)
def test_ip_addresses_are_found_if_asked_for_and_public(text: str, masked: str) -> None:
    assert "ip" not in DEFAULT_KINDS
    assert mask(text, ALL) == masked
    assert mask(text) == text


def test_check_digits_of_published_examples() -> None:
    assert luhn("79927398713") and not luhn("79927398710")
    assert mod97("GB82WEST12345698765432") and not mod97("GB28WEST12345698765432")
    assert mod11("11010519491231002X") and not mod11("110105194912310021")
    assert entropy("aaaa") == 0 and entropy("abcd") == 2


# properties
