"""Personal data and secrets: what is found and what only looks like it, what masking leaves, and the filter."""

import time
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.filters import FunnelContext, Judgements, Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal import DEFAULT_KINDS, Kind, Span, find, mask
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.quality.personal.numbers import luhn, mod11, mod97
from wheelwork.core.quality.personal.secrets import entropy
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

ALL: tuple[Kind, ...] = get_args(Kind)

# put together here, so that no scanner of repositories takes them for keys
GITHUB, SLACK, STRIPE = "ghp_" + "a1B2c3" * 6, "xoxb-" + "1234567890-" * 2 + "abcDEF", "sk_" + "live_" + "a1B2c3D4" * 3
OPENAI, ANTHROPIC, GOOGLE = (
    "sk-" + "a1B2c3D4" * 6,
    "sk-" + "ant-api03-" + "a1B2-c3_D4" * 4,
    "AIza" + "Sy0a-B" * 5 + "12345",
)
AWS, HUB, HOOK = "AKIA" + "QWERTYUIOPASDFGH", "hf_" + "aBcDeF" * 6, "T0AAAAAAA/B0BBBBBBB/" + "a1B2c3D4" * 3
JWT = ".".join(["eyJ" + "hbGciOiJIUzI1NiJ9", "eyJ" + "zdWIiOiIxMjM0In0", "dozjgNryP4J3jVmNHl0w5N"])
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nProc-Type: 4\n-----END RSA " + "PRIVATE KEY-----"
CUT_PEM = "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0B\n" * 2 + "AQEFAASCBKcwggSj"

FOUND = [
    # e-mail
    ("write to anna.k+shop@mail.example.co.uk, please", "write to [EMAIL], please"),
    ("<o_neil@firm.io>", "<[EMAIL]>"),
    ("邮箱zhang_wei@qq.com谢谢", "邮箱[EMAIL]谢谢"),
    ("请回复ｌｉ＠１６３．ｃｏｍ", "请回复[EMAIL]"),
    # phone
    ("call +1 (415) 555-0123 before 9", "call [PHONE] before 9"),
    ("+44 (0)20 7946 0958 or 0044 20 7946 0958", "[PHONE] or [PHONE]"),
    ("+49 30 1234567 from 9 am", "[PHONE] from 9 am"),
    ("+39 06 1234 5678", "[PHONE]"),
    ("Tel. +86-138-0013-8000。", "Tel. [PHONE]。"),
    ("我的手机号是13800138000，晚上打", "我的手机号是[PHONE]，晚上打"),
    ("138 0013 8000 or 138-0013-8000", "[PHONE] or [PHONE]"),
    ("13800138000,13900139000;13700137000 13600136000", "[PHONE],[PHONE];[PHONE] [PHONE]"),
    ("room 12 13800138000", "room 12 [PHONE]"),
    ("座机０１０－６２３４５６７８", "座机[PHONE]"),
    ("(0755) 12345678 转 801", "[PHONE] 转 801"),
    ("010-62345678 010-62345679", "[PHONE] [PHONE]"),
    ("1-800-555-0199, 212.555.0123, (212) 555-0123 ext. 45", "[PHONE], [PHONE], [PHONE]"),
    ("01 23 45 67 89", "[PHONE]"),
    ("030/1234567 und 0171 1234567", "[PHONE] und [PHONE]"),
    ("07700 900123 or 07700900123", "[PHONE] or [PHONE]"),
    ("0412 345 678, 03-1234-5678, (11) 91234-5678, 8 (912) 345-67-89", "[PHONE], [PHONE], [PHONE], [PHONE]"),
    ("my phone number is 2125550123.", "my phone number is [PHONE]."),
    ("mobile: 98765 43210", "mobile: [PHONE]"),
    ("call me on 5550123", "call me on [PHONE]"),
    # cards
    ("4111111111111111", "[CARD]"),
    ("card 4111 1111 1111 1111 123 exp 12/27", "card [CARD] 123 exp 12/27"),
    ("5500-0000-0000-0004 and 3782 822463 10005", "[CARD] and [CARD]"),
    ("卡号6222020000000000000。", "卡号[CARD]。"),
    # IBAN
    ("to DE89 3704 0044 0532 0130 00 PLEASE", "to [IBAN] PLEASE"),
    ("GB82WEST12345698765432, GB82-WEST-1234-5698-7654-32", "[IBAN], [IBAN]"),
    ("de89370400440532013000", "[IBAN]"),
    ("NO9386011117947 MT84MALT011000012345MTLCAST001S", "[IBAN] [IBAN]"),
    # ids
    ("身份证11010519491231002X，谢谢", "身份证[CN_ID]，谢谢"),
    ("id 110105 19491231 002x", "id [CN_ID]"),
    ("SSN 123-45-6789", "SSN [US_SSN]"),
    ("social security number: 123456789", "social security number: [US_SSN]"),
    ("my ssn is 123 45 6789", "my ssn is [US_SSN]"),
    # secrets
    *((f"here: {key}, please", "here: [SECRET], please") for key in (AWS, GITHUB, SLACK, STRIPE, OPENAI, ANTHROPIC)),
    *((f"密钥在此（{key}）", "密钥在此（[SECRET]）") for key in (GOOGLE, HUB, JWT)),
    (f"see\n{PEM}\nthere", "see\n[SECRET]\nthere"),
    (f"see\n{CUT_PEM}\n", "see\n[SECRET]\n"),
    (f"https://hooks.slack.com/services/{HOOK}", "https://hooks.slack.com/services/[SECRET]"),
    ("password = hunter2x", "password = [SECRET]"),
    ("my password is Summer2024!", "my password is [SECRET]"),
    ('{"password": "correcthorse", "a": 1}', '{"password": "[SECRET]", "a": 1}'),
    ("Passwort egal, İ, PWD: a1b2c3", "Passwort egal, İ, PWD: [SECRET]"),
    ("密码：abc12345。密码是qwe98765", "密码：[SECRET]。密码是[SECRET]"),
    ("export OPENAI_API_KEY=9f8e7d6c5b4a", "export OPENAI_API_KEY=[SECRET]"),
    ("aws_secret_access_key = " + "wJalrXUtn/K7MDENG" * 2, "aws_secret_access_key = [SECRET]"),
    ("token: 0f9e8d7c6b5a4938271605", "token: [SECRET]"),
    ("Authorization: Bearer 0a1B2c3D4e5F6g7H8i9J", "Authorization: Bearer [SECRET]"),
    ("pass: hunter22, TOKEN=0f9e8d7c6b5a49382716", "pass: [SECRET], TOKEN=[SECRET]"),
    ("postgres://admin:s3cr3tpw@db.example.com/x", "postgres://admin:[SECRET]@db.example.com/x"),
]  # fmt: skip

NOT_FOUND = [
    "",
    "the router shows a red light since yesterday evening",
    "家里的网络从昨天晚上开始就断了",
    # near misses of numbers
    "card 4111111111111112, 4012 0888 8888 1882 and 1234567890123452",
    "DE89 3704 0044 0532 0130 01, DE8937040044053201300, XX89370400440532013000",
    "身份证110105194912310021，110105194913310026",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "order number 48213377, order 15012345678, invoice no. 212-555-0123",
    "订单号13800138000，运单号：15012345678",
    "tracking number 1Z999AA10123456784, serial 0612345678",
    "on 2024-05-01 at 10:30:45, 01-02-2024 10:30, 01.02.2024 1030, 20240501103045",
    "2024年5月1日12:00，房间3012",
    "call me on 2024-05-01 10:30, or call at 10:30",
    "it costs 1,299.00, 12 999 999 kr or $212 555 0123; phone: 12999.00",
    "+20 000 000 users, +5 000 000 000 kr, C++ 20, 1+1",
    "3.14159265358979323846 and 0.4111111111111111",
    "550e8400-e29b-41d4-a716-446655440000, #ff00aa #123456, 00:1A:2B:3C:4D:5E",
    "version 10.15.7.1234, v1.2.3, 2.0.0-rc.1, torch 2.13.0",
    "ISBN 978-0-306-40615-7, 9780306406157",
    "192.168.1.1, 8.8.8.8:53 and 010.012.123.123",
    "1700000000 1700000000000 123456789012, rows 10000-20000, 1,2,3,4,5,6,7,8,9,10",
    "phone number 12 of 24",
    # near misses of the rest
    "icon@2x.png, react@18.2.0, git@github.com:me/x.git, @user, a @ b, x@localhost",
    "my password is not working, please reset it; Password: required",
    "password = None; password = get_password(); password=os.environ['X1']; password: str",
    '"password": "required", "token": "string", api_key = "<your key>", API_KEY="YOUR_API_KEY_1234"',
    "token = tokenizer.encode(text1); max_tokens=100; key: 12345678; sort(key=lambda x: x1)",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxx and sk-learn-is-not-a-key-but-a-very-long-name",
    '{"pass": "promoted"}, bypass=100000, idempotency_key="flow-run-cleanup", KEY = "base_model.layers.0.self_attn.q"',
    '"access_token": "my-access-token", EXPIRED_TOKEN = "expired_token", webhook_secret="my_secret_key"',
    "postgresql+psycopg2://scott:tiger@localhost/test, https://postgres:postgres@db",
    "barcode 4006381333932",
    "the bearer of this letter is responsible for internationalisation",
    "postgres://user:password@localhost/x and http://host:8080/path@1",
    "a file that begins with -----BEGIN " + "PRIVATE KEY----- holds a key",
    "密码忘了怎么办？密码：必填",
    "[EMAIL] [PHONE] password = [SECRET]",
]


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


def sample(user: str, assistant: str = "sure", system: str = "be kind", **rest: Any) -> Sample:
    turns = [("system", system), ("user", user), ("assistant", assistant)]
    messages = [Message.model_validate({"role": role, "content": content}) for role, content in turns]
    return Sample.make(messages, task="chat", **({"origin": "teacher"} | rest))


def context() -> FunnelContext:
    return FunnelContext(FakeEncoder(), [])


WRITTEN = [
    sample("my router is red"),
    sample("my mail is a@b.cn"),
    sample("hello", assistant="call 13800138000"),
    sample("hello", system=f"use {GITHUB}"),
    sample(f"{GITHUB} of a@b.cn"),
]


def test_any_message_can_be_the_reason_of_a_drop() -> None:
    kept, dropped, counts = Funnel(filters=(PersonalData(),)).split(WRITTEN, context())
    assert kept == WRITTEN[:1]
    assert [one.reject_reason for one in dropped] == ["personal_data", "personal_data", "secret", "secret"]
    assert [one.messages for one in dropped] == [one.messages for one in WRITTEN[1:]]
    assert (counts[0].filter, counts[0].dropped) == ("personal_data", {"personal_data": 2, "secret": 2})


def test_masking_keeps_every_sample_and_writes_each_message_anew() -> None:
    kept, dropped, counts = Funnel(filters=(PersonalData(action="mask"),)).split(WRITTEN, context())
    assert [[turn.content for turn in one.messages] for one in kept] == [
        ["be kind", "my router is red", "sure"],
        ["be kind", "my mail is [EMAIL]", "sure"],
        ["be kind", "hello", "call [PHONE]"],
        ["use [SECRET]", "hello", "sure"],
        ["be kind", "[SECRET] of [EMAIL]", "sure"],
    ]
    assert (dropped, counts[0].rows_in, counts[0].rows_out) == ([], 5, 5)


def test_a_masked_sample_is_another_one_with_the_same_history() -> None:
    rest = {"source": "mock", "round": "r1", "parent_id": "seed-1", "label": "x", "weight": 2.0}
    before = sample("my mail is a@b.cn", controls={"style": "terse"}, **rest).with_scores(seen=0.5)
    (after,), _, _ = Funnel(filters=(PersonalData(action="mask"),)).split([before], context())
    assert after == sample("my mail is [EMAIL]", controls={"style": "terse"}, **rest).with_scores(seen=0.5)
    assert after.id != before.id


def test_a_clean_sample_is_the_same_after_masking() -> None:
    assert PersonalData(action="mask")(WRITTEN[:1], context()).changed == {}


def test_texts_that_masking_makes_alike_are_duplicates_for_the_filters_after_it() -> None:
    written = [sample("my mail is a@b.cn"), sample("my mail is c@d.cn")]
    funnel = Funnel.model_validate(
        {"filters": [{"kind": "personal_data", "action": "mask"}, {"kind": "exact_duplicates"}]}
    )
    kept, dropped, _ = funnel.split(written, context())
    assert ([one.prompt for one in kept], [one.reject_reason for one in dropped]) == (
        ["my mail is [EMAIL]"],
        ["duplicate"],
    )


def test_the_filter_looks_only_for_its_kinds() -> None:
    assert PersonalData(kinds=("phone", "ip"))([sample("a@b.cn"), sample("at 8.8.8.8")], context()).reasons == [
        None,
        "personal_data",
    ]


def test_a_row_that_is_changed_and_dropped_is_dropped_as_what_it_became() -> None:
    class Both(Rules):
        def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
            return Judgements(["why"], {"score": [1.0]}, {0: sample("changed")})

    _, (dropped,), _ = Funnel(filters=(Both(),)).split([sample("before")], context())
    assert (dropped.prompt, dropped.reject_reason, dropped.scores) == ("changed", "why", {"score": 1.0})


def test_the_filter_is_not_part_of_the_default_funnel() -> None:
    assert not any(isinstance(judge, PersonalData) for judge in Funnel().filters)
