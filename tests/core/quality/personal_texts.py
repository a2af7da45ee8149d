"""Texts with personal data and secrets beside what masking makes of them, and texts that only look like it."""

from typing import get_args

from wheelwork.core.quality.personal import Kind

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
