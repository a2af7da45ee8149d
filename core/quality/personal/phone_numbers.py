"""Phone numbers: international ones by their country code (ITU-T E.164), national ones by their usual forms.

Digits that a national form does not tell from an order number count only after a word such as `phone` or `电话`.
"""

import re
from collections.abc import Iterator
from itertools import chain

from .numbers import Place, Stretch, scan

START, STOP = r"(?<![0-9A-Za-z_])", r"(?![0-9A-Za-z_])(?![.-][0-9])"

INTERNATIONAL = re.compile(
    r"(?:(?<!\+)\+ ?|(?<![0-9A-Za-z_.-])00(?=[1-9][0-9]{0,2}[ .-]|86))"
    r"(?P<code>1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-689]|3[578]|42|50|59|6[7-9]|8[0578]|9[679])[0-9])"
    r"[ .-]?(?P<rest>(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{1,14}(?:[ ./-][0-9]{2,12}){0,6})"
)
LONGEST = {"1": 10, "86": 11}  # digits after the code, where the plan fixes them; E.164 allows 15 with the code

CHINESE_MOBILE = re.compile(START + r"(?:86[ -]?)?1[3-9][0-9]([ -]?)[0-9]{4}\1[0-9]{4}" + STOP)

NATIONAL = re.compile(
    r"(?:(?<![0-9A-Za-z_$€£¥])|(?=\())(?:"
    r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\)[ .-]?|(?<![(])[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"  # North America
    r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
    r"|(?:\(0[1-9][0-9]{0,3}\)[ .-]?|0[1-9][0-9]{0,3}[ /-])[0-9]{5,8}(?:-[0-9]{1,5})?"  # 010-62345678, 030/1234567
    r"|(?:\(0[1-9][0-9]{0,3}\)|0[1-9][0-9]{0,3})[ .-][0-9]{3,4}[ .-][0-9]{3,4}"  # 020 7946 0958, 03-1234-5678
    r"|0[1-9](?P<gap>[ .-])[0-9]{2}(?:(?P=gap)[0-9]{2}){3}"  # 01 23 45 67 89
    r"|\([1-9][0-9]{1,3}\) ?[0-9]{4,5}[ -][0-9]{4}"  # (11) 91234-5678
    r"|8[ -]?\(?9[0-9]{2}\)?[ -][0-9]{3}[ -][0-9]{2}[ -][0-9]{2}"  # 8 (912) 345-67-89
    r"|07[0-9]{9}|0[67][0-9]{8}|04[0-9]{8}|0[789]0[0-9]{8}"  # mobiles of Britain, France, Australia, Japan
    r")" + STOP
)  # fmt: skip

BARE = re.compile(START + r"\(?[0-9]{3,13}\)?(?:[ .-][0-9]{2,8}){0,3}" + STOP)
SAYS_PHONE = re.compile(
    r"(?i)(?:\b(?:telephone|phone|mobile|cell|tel|call|ring|text|dial|fax|whats ?app)"
    r"|电话|手机|座机|致电|拨打|联系方式|传真|微信)"
    r"(?:[ :=#.]{0,3}(?:number|no\b|nr\b|is|me|us|on|at|back|号码?|是|为|我)){0,4}[ :=#.]{0,3}\Z"
)

NOT_A_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}[ ./-][0-9]{1,2}[ ./-][0-9]{1,2}(?![0-9])"  # a date
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])(?![0-9])"
    r"|[0-9]+\.[0-9]{1,2}\Z"  # a price
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}\Z"  # an IP address
)
OTHER_NUMBER = re.compile(
    r"(?:(?i:\b(?:order|invoice|ticket|case|tracking|reference|ref|serial|sku|item|part|parcel|transaction|version))"
    r"|订单|单号|运单|快递|编号|发票|工单|流水|序列|版本)"
    r"(?i:[ ]?(?:number|num|no|nr|id|code|号码?)\b)?\.?(?:[ ]?(?i:is|was|是|为))?[ :#]{0,3}\Z"
)


def phones(stretch: Stretch) -> Iterator[Place]:
    """Phone numbers; one that follows a taken number after a space or hyphen is not part of it."""

    def national_end(match: re.Match[str]) -> int | None:
        start = match.start()
        if _continues(match.string, start, stretch.taken) or not _plausible(match[0], 9):
            return None
        return None if OTHER_NUMBER.search(match.string, max(0, start - 30), start) else match.end()

    return chain(
        scan(INTERNATIONAL, stretch, _international_end),
        scan(CHINESE_MOBILE, stretch, national_end),
        scan(NATIONAL, stretch, national_end),
        scan(BARE, stretch, _bare_end),
    )


def _international_end(match: re.Match[str]) -> int | None:
    """The end of the last group of digits that the number has room for."""
    text, code = match.string, match["code"]
    digits, end = "", None
    for group in re.finditer("[0-9]+", match["rest"]):
        if len(digits) + len(group[0]) > LONGEST.get(code, 15 - len(code)) + (match["rest"][0] == "("):
            break
        digits, end = digits + group[0], match.start("rest") + group.end()
    if end is None or re.match("[0-9A-Za-z_]", text[end : end + 1]):
        return None
    return end if _is_subscriber(code, digits, in_brackets=match["rest"][0] == "(") else None


def _is_subscriber(code: str, digits: str, in_brackets: bool) -> bool:
    if code == "1":
        return re.fullmatch("[2-9][0-9]{2}[2-9][0-9]{6}", digits) is not None
    if code == "86":
        return re.fullmatch("1[3-9][0-9]{9}|0?[1-9][0-9]{8,10}", digits) is not None
    # only Italy keeps the 0 after its code; `+44 (0)20` writes it for callers at home
    return len(code + digits) >= 8 and (digits[0] != "0" or in_brackets or code == "39")


def _bare_end(match: re.Match[str]) -> int | None:
    start = match.start()
    said = _plausible(match[0], 7) and SAYS_PHONE.search(match.string, max(0, start - 30), start)
    return match.end() if said else None


def _plausible(number: str, fewest: int) -> bool:
    return fewest <= sum(map(str.isdigit, number)) <= 20 and not NOT_A_PHONE.match(number)


def _continues(text: str, start: int, taken: bytearray) -> bool:
    """Whether the digits at `start` go on from digits before them, as the groups of a longer number do."""
    if start < 2 or text[start - 2] not in "0123456789" or taken[start - 2]:
        return False
    group = text[max(0, start - 4) : start - 1]  # `room 12 138…` is two numbers, `4012 0888 …` is one
    return text[start - 1] in ".-" or (text[start - 1] == " " and len(group) == 3 and group.isdigit())
