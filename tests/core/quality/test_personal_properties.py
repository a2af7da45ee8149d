"""Personal data and secrets in any text: spans, masks, check digits, and time."""

import time
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.personal import Kind, Span, find, mask
from wheelwork.core.quality.personal.numbers import luhn, mod11
from wheelwork.tests.core.quality.personal_texts import ALL, FOUND

PIECES = st.sampled_from(
    [
        "1",
        "12 ",
        "0",
        "-",
        ".",
        " ",
        "(",
        ")",
        "+",
        "@",
        "a",
        "x",
        "=",
        ":",
        "，",
        "密码是",
        "key=",
        "[EMAIL]",
        "é",
        "０",
    ]
    + [text for text, _ in FOUND if len(text) < 60]
    + ["555-0123", "a@b.com", "13800138000", "(212) 555-0123", "password=", "sk-", "eyJ", "AA11", "DE89"]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=60))


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_spans_lie_in_the_text_and_never_overlap(text: str) -> None:
    spans = find(text, ALL)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_a_masked_text_has_nothing_to_mask(text: str) -> None:
    masked = mask(text, ALL)
    assert find(masked, ALL) == []
    assert mask(masked, ALL) == masked


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


def ibans(country: str, length: int, signs: str) -> st.SearchStrategy[str]:
    def whole(account: str) -> str:
        number = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
        return f"{country}{98 - number % 97:02d}{account}"

    return st.text(signs, min_size=length - 4, max_size=length - 4).map(whole)


LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CARDS = st.one_of(
    st.tuples(st.sampled_from(["4000", "5100", "5599", "2221", "6212", "6011", "3528"]), digits(11)).map("".join),
    st.tuples(st.sampled_from(["34", "37"]), digits(12)).map("".join),
    st.tuples(st.just("62"), digits(16)).map("".join),
).map(lambda body: next(body + last for last in "0123456789" if luhn(body + last)))  # fmt: skip
IBANS = st.one_of(
    ibans("GB", 22, LETTERS), ibans("DE", 22, "0123456789"), ibans("NO", 15, "0123456789"), ibans("MT", 31, LETTERS)
)
IDS = st.tuples(st.sampled_from("12345678"), digits(5), st.dates(date(1900, 1, 1), date(2024, 1, 1)), digits(3)).map(
    lambda n: f"{n[0]}{n[1]}{n[2]:%Y%m%d}{n[3]}"
).map(lambda body: next(body + last for last in "0123456789X" if mod11(body + last)))  # fmt: skip
NUMBERS = st.one_of(
    st.tuples(st.just("card"), CARDS), st.tuples(st.just("iban"), IBANS), st.tuples(st.just("cn_id"), IDS)
)
AROUND = st.text("abcd ,。你好0123456789#\n", max_size=20)
EDGES = st.sampled_from([" ", "，", "号", "\n", "（", "\u3000"])


@settings(deadline=None, max_examples=200)
@given(NUMBERS, AROUND, AROUND, EDGES)
def test_a_valid_number_is_found_in_any_text(number: tuple[Kind, str], before: str, after: str, edge: str) -> None:
    kind, value = number
    place = len(before) + len(edge)
    assert Span(kind, place, place + len(value)) in find(f"{before}{edge}{value}{edge}{after}")


@settings(deadline=None, max_examples=200)
@given(NUMBERS, st.data())
def test_a_number_with_one_wrong_digit_is_none(number: tuple[Kind, str], data: st.DataObject) -> None:
    kind, value = number
    place = data.draw(st.sampled_from([place for place, sign in enumerate(value) if sign.isdigit()]))
    wrong = data.draw(st.sampled_from(sorted(set("0123456789") - {value[place]})))
    corrupted = value[:place] + wrong + value[place + 1 :]
    assert kind not in {span.kind for span in find(f"no. {corrupted} it is")}


HOSTILE = [
    "1", "0 ", "1-", "12 ", "1.", "0123 456 789 ", "+1", "+49 ", "(0", "é1", "０",
    "010-62345678 ", "(212) 555-0123", "13800138000-", "+14155550123+14155550123", "call 555 ", "ssn ",
    "4111 1111 1111 1111 ", "AA11", "AA11 ", "2a:", "A", "-",
    "a@", "@a.", "a.", "x@y.com13800138000", "eyJ", "eyJaaaaaaaa.", "sk-", "xoxb-1", "bearer ", "http://a:",
    "-----BEGIN PRIVATE KEY-----", "password=", 'password = "', "key=", "token=a1", "密码是",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_takes_no_more_than_its_length(unit: str) -> None:
    text = (unit * 30_000)[:30_000]
    started = time.process_time()
    mask(text, ALL)
    assert time.process_time() - started < 3


# the filter
