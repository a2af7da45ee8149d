"""Secrets: keys with the prefixes that their issuers publish, private key blocks, and what follows `password =`."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from .numbers import Place, Stretch, scan

LONG = re.compile(r"[0-9A-Za-z_./+-]{16}")
TOKEN = re.compile(
    r"(?<![0-9A-Za-z_-])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"  # AWS access key id
    r"|LTAI[0-9A-Za-z]{12,26}|AKID[0-9A-Za-z]{32}"  # Alibaba Cloud, Tencent Cloud
    r"|gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255}|glpat-[0-9A-Za-z_-]{20,64}"  # GitHub, GitLab
    r"|xox[abeoprs]-[0-9A-Za-z-]{10,250}|xapp-[0-9A-Za-z-]{10,250}"  # Slack
    r"|[sr]k_(?:live|test)_[0-9A-Za-z]{10,250}|whsec_[0-9A-Za-z]{20,64}"  # Stripe
    r"|AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{20,512}"  # Google
    r"|sk-[0-9A-Za-z]{20,250}|sk-(?=[A-Za-z_-]{0,64}[0-9])[0-9A-Za-z_-]{24,250}"  # OpenAI, Anthropic, OpenRouter …
    r"|(?:hf|gsk)_[0-9A-Za-z]{30,64}|xai-[0-9A-Za-z]{60,100}"  # Hugging Face, Groq, xAI
    r"|npm_[0-9A-Za-z]{36}|pypi-[0-9A-Za-z_-]{50,512}|do[opr]_v1_[0-9a-f]{64}"  # npm, PyPI, DigitalOcean
    r"|SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}|SK[0-9a-f]{32}|[0-9]{8,10}:AA[0-9A-Za-z_-]{33}"  # SendGrid, Twilio, …
    r"|eyJ[0-9A-Za-z_-]{8,4096}\.eyJ[0-9A-Za-z_-]{4,8192}\.[0-9A-Za-z_-]{8,2048}"  # JWT: `eyJ` is `{"` in base64url
    r")(?![0-9A-Za-z])"
)  # fmt: skip
SLACK_HOOK = re.compile(r"hooks\.slack\.com/services/(?P<it>[0-9A-Za-z]{6,20}/[0-9A-Za-z]{6,20}/[0-9A-Za-z]{16,40})")

PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----))*+-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\s|\\[nr])*+[0-9A-Za-z+/=]{16,}+(?:(?:\s|\\[nr])++[0-9A-Za-z+/=]{16,}+)*+)"  # cut off before its end
)

BEARER = re.compile(r"(?i:\bbearer|\bauthorization: ?(?:basic|token)) {1,3}(?P<it>[0-9A-Za-z._~+/-]{20,4096}={0,2})")
IN_URL = re.compile(
    r"\b[A-Za-z][0-9A-Za-z+.-]{1,15}://(?P<user>[^\s:@/\[\]]{0,64}):(?P<it>[^\s@/\[\]]{3,128})(?=@[0-9A-Za-z])"
)

NAME = re.compile("pass|pwd|secret|token|key|密码|密碼|口令|密钥|密鑰")
KEY_OF = re.compile(r"(?i)(?:api|access|private|secret|auth|account|encryption|signing|bot)[_ -]?\Z")
SET = re.compile(
    r"(?i:pass(?:word|wd|phrase|code)?|pwd|secret(?:[_ -]?(?:access)?[_ -]?key)?|token|key|[密口][码碼令钥鑰])"
    r"[\"'`]?(?: {0,8}(?::=|=>|[:=]) {0,8}|(?P<said>(?i: {1,3}(?:is|was):? {1,3})| ?[是为為]:? ?))"
    r"(?:(?P<quote>[\"'`])(?P<quoted>[^\s\"'`\[\]]{4,256})(?P=quote)|(?P<bare>[^\s\"'`,;<>(){}\[\]，。；、！？]{4,256})(?![(\[]))"
)

PLACEHOLDER = re.compile(
    r"(?i)[x*.•_-]{4}|^[<${%]|your|^my[_-]|example$|^(?:none|null|nil|true|false|undefined|required|optional|string|text|hidden|"
    r"pass(?:word|wd|code|phrase)?|secret|token|(?:api)?[_-]?key|changeme|redacted|masked|invalid|incorrect|wrong|missing|"
    r"expired|forgotten|reset|str|int|bytes)[.!?]*$"
)


def secrets(stretch: Stretch) -> Iterator[Place]:
    """Keys, tokens and passwords; placeholders such as `sk-xxxxxxxx` and `<your key>` are none."""
    text = stretch.text
    found: list[Iterator[Place]] = []
    if LONG.search(text):
        found += [scan(TOKEN, stretch, _token_end), scan(SLACK_HOOK, stretch, _end), scan(BEARER, stretch, _bearer_end)]
    if "-----BEGIN" in text:
        found.append(scan(PEM, stretch, _end))
    if "://" in text:
        found.append(scan(IN_URL, stretch, _url_end))
    return chain(_assigned(text), *found)


def entropy(text: str) -> float:
    """Shannon entropy of the characters of `text`, in bits a character: at most log2 of its length."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _end(match: re.Match[str]) -> int:
    return match.end()


def _token_end(match: re.Match[str]) -> int | None:
    return None if re.search(r"(?i)x{6}|\*{3}", match[0]) else match.end()


def _url_end(match: re.Match[str]) -> int | None:
    # `scott:tiger@` and `postgres:postgres@` stand in many a manual
    password = match["it"]
    real = len(password) >= 8 or any(map(str.isdigit, password))
    return match.end("it") if real and password != match["user"] and not PLACEHOLDER.search(password) else None


def _bearer_end(match: re.Match[str]) -> int | None:
    # twenty random letters and digits have about 4 bits a character, a hexadecimal key about 3.5
    token = match["it"]
    mixed = any(map(str.isdigit, token)) and any(map(str.isalpha, token))
    return match.end("it") if mixed and entropy(token) >= 3 and not PLACEHOLDER.search(token) else None


def _assigned(text: str) -> Iterator[Place]:
    """Values after a name such as `password`, `api_key` or `密码`; a `key` or `token` alone is many other things."""
    folded = text.replace("İ", "I").lower()  # the one letter that would become two
    for name in NAME.finditer(folded):
        match = SET.match(text, name.start())
        if not match:
            continue
        bare = match["quoted"] is None
        start, end = match.span("bare" if bare else "quoted")
        if bare:
            end = start + len(match["bare"].rstrip(".:?"))
        strength = _strength(match[0], text[max(0, name.start() - 12) : name.start()])
        if _is_secret(text[start:end], strength, quoted=not bare, said=match["said"] is not None):
            yield start, end


def _strength(assigned: str, before: str) -> int:
    """How surely the name is one of a secret: 2 for `password`, 1 for `api_key` and `pass`, 0 for `key` and `token`."""
    if re.match(r"(?i)pass(?![wcp])", assigned):
        return 1
    return 2 if not re.match("(?i)key|token", assigned) else int(KEY_OF.search(before) is not None)


def _is_secret(value: str, strength: int, *, quoted: bool, said: bool) -> bool:
    """Whether `value` is no word of the sentence or of the program: those have no digit, or are written with dots."""
    if len(value) < 6 or PLACEHOLDER.search(value):
        return False
    if strength == 2 and quoted and not said:
        return True
    digits, letter = sum(map(str.isdigit, value)), any(map(str.isalpha, value))
    if strength == 0:
        return re.fullmatch(r"[\w+/=-]{16,}", value) is not None and digits >= 3 and letter and entropy(value) >= 3
    program = re.fullmatch(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", value)
    return digits > 0 and (letter or said or len(value) >= 8) and not program
