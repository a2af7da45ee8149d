"""Numbers that name a person or an account and carry their own proof: cards, IBANs, Chinese and US ids, IP addresses.

Patterns have a bounded length, so a search may start again one character later and stays linear in the text.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from ipaddress import ip_address
from itertools import chain
from typing import NamedTuple

Place = tuple[int, int]


class Stretch(NamedTuple):
    """The part of `text` from `start` to `stop`; `taken` has a flag for each character that is spoken for already."""

    text: str
    taken: bytearray
    start: int
    stop: int


Finder = Callable[[Stretch], Iterator[Place]]
"""Yields (start, end) in the text; in order within one pattern."""

LEFT = r"(?<![0-9A-Za-z_])(?<![0-9][.-])"
RIGHT = r"(?![0-9A-Za-z_])(?![.-][0-9])"

MANY_DIGITS = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,3}+[0-9]){6,}+")
"""Seven digits or more with little between them: no phone, card or id has fewer."""

CARD = re.compile(
    LEFT
    + r"(?:[0-9]{14,19}|[0-9]{4}([ -])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?|[0-9]{6}\1[0-9]{4,5}))"
    + RIGHT
)
ISSUED = re.compile(
    r"4[0-9]{15}(?:[0-9]{3})?|(?:5[1-5]|2[2-7]|35)[0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}"
    r"|(?:5[06-8]|6[0-9])[0-9]{14,17}"
)
"""The first digits and lengths that Visa, Mastercard, JCB, American Express, Diners, UnionPay, Maestro … issue now.

Cards of 13 digits are no longer issued, and every tenth barcode (EAN-13) would be one.
"""

# the look behind comes after the first sign: a pattern that begins with a set of signs is searched faster
IBAN = re.compile(r"[A-Z](?<![0-9A-Za-z_].)[A-Z][0-9]{2}(?:[ -]?[0-9A-Z]){11,30}")
SMALL_IBAN = re.compile(r"(?<![0-9A-Za-z_])[a-z]{2}[0-9]{2}(?:[ -]?[0-9]){11,30}")
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

CN_ID = re.compile(LEFT + r"[1-9][0-9]{5} ?[0-9]{8} ?[0-9]{3}[0-9Xx]" + RIGHT)
SSN = re.compile(LEFT + r"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}" + RIGHT)
BARE_SSN = re.compile(LEFT + r"[0-8][0-9]{2} ?[0-9]{2} ?[0-9]{4}" + RIGHT)
SAYS_SSN = re.compile(r"(?i)(?:\bssn|social security)(?: ?(?:number|no\.?|is|:|#|=)){0,3} {0,3}\Z")
IPV4 = re.compile(r"[0-9](?<![0-9A-Za-z_.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])(?!\.[0-9])")
IPV6 = re.compile(r"[23](?<![0-9A-Za-z_:.].)[0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]{1,34}(?![0-9A-Za-z_:])")
VERSION = re.compile(r"(?i:version|release|firmware|build|版本号?|固件)[ :]{0,2}\Z")


def stretches(text: str, taken: bytearray) -> list[Stretch]:
    """Where `text` has many digits, with what may stand before and after them: `+ ` and ` ext. 45`."""
    return [
        Stretch(text, taken, max(0, match.start() - 2), min(len(text), match.end() + 11))
        for match in MANY_DIGITS.finditer(text)
    ]


def scan(pattern: re.Pattern[str], stretch: Stretch, ends: Callable[[re.Match[str]], int | None]) -> Iterator[Place]:
    """Where `pattern` matches and `ends` gives an end; the place starts at the group `it` where there is one."""
    group: str | int = "it" if "it" in pattern.groupindex else 0
    position = stretch.start
    while match := pattern.search(stretch.text, position, stretch.stop):
        end = ends(match)
        if end is not None:
            yield match.start(group), end
        position = end or match.start() + 1


def cards(stretch: Stretch) -> Iterator[Place]:
    """Payment card numbers, plain or in groups: known first digits and length, and a valid Luhn digit."""
    return scan(CARD, stretch, _card_end)


def ibans(stretch: Stretch) -> Iterator[Place]:
    """IBANs, plain or in groups: the length of their country, and a valid remainder."""
    return scan(IBAN, stretch, _iban_end)


def small_ibans(stretch: Stretch) -> Iterator[Place]:
    """IBANs that begin with small letters and go on with digits only."""
    return scan(SMALL_IBAN, stretch, _iban_end)


def chinese_ids(stretch: Stretch) -> Iterator[Place]:
    """Chinese resident ids of 18 digits: a date of birth that exists, and a valid last digit."""
    return scan(CN_ID, stretch, _chinese_id_end)


def us_ssns(stretch: Stretch) -> Iterator[Place]:
    """US social security numbers: with hyphens anywhere, without only where the text says what they are."""
    return chain(scan(SSN, stretch, _ssn_end), scan(BARE_SSN, stretch, _bare_ssn_end))


def ip_addresses(stretch: Stretch) -> Iterator[Place]:
    """IP addresses that are routed on the internet; private, local and documentation ones name nobody."""
    return chain(scan(IPV4, stretch, _ip_end), scan(IPV6, stretch, _ip_end))


def luhn(digits: str) -> bool:
    """Whether the last digit is right (ISO/IEC 7812-1, annex B); every single wrong digit is seen."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def mod97(iban: str) -> bool:
    """Whether the number, letters as 10 … 35 and the first four signs last, leaves 1 (ISO 13616-1, ISO/IEC 7064)."""
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


def mod11(number: str) -> bool:
    """Whether the last of the 18 signs is right (GB 11643-1999, ISO/IEC 7064 MOD 11-2); X stands for 10."""
    total = sum(int(digit) << (17 - place) for place, digit in enumerate(number[:17]))
    return "10X98765432"[total % 11] == number[17]


def _card_end(match: re.Match[str]) -> int | None:
    whole = match[0]
    for candidate in (whole, whole[:19]):  # a fifth group may be the code from the card's back
        digits = re.sub("[ -]", "", candidate)
        if ISSUED.fullmatch(digits) and luhn(digits) and (len(candidate) == len(whole) or not whole[19:20].isdigit()):
            return match.start() + len(candidate)
    return None


def _iban_end(match: re.Match[str]) -> int | None:
    length = IBAN_LENGTHS.get(match[0][:2].upper())
    places = [place for place, sign in enumerate(match[0]) if sign.isalnum()]
    if length is None or len(places) < length:
        return None
    end = match.start() + places[length - 1] + 1
    if match.string[end : end + 1].isascii() and match.string[end : end + 1].isalnum():
        return None
    number = "".join(match[0][place] for place in places[:length]).upper()
    return end if mod97(number) else None


def _chinese_id_end(match: re.Match[str]) -> int | None:
    number = match[0].replace(" ", "").upper()
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None
    return match.end() if 1880 <= born.year < 2100 and mod11(number) else None


def _ssn_end(match: re.Match[str]) -> int | None:
    """Area 000, 666 and from 900, group 00 and serial 0000 are never given (US Social Security Administration)."""
    digits = re.sub("[^0-9]", "", match[0])
    return None if digits[:3] in ("000", "666") or digits[3:5] == "00" or digits[5:] == "0000" else match.end()


def _bare_ssn_end(match: re.Match[str]) -> int | None:
    start = match.start()
    return _ssn_end(match) if SAYS_SSN.search(match.string, max(0, start - 40), start) else None


def _ip_end(match: re.Match[str]) -> int | None:
    address = match[0]
    try:
        public = ip_address(address).is_global
    except ValueError:
        return None
    start = match.start()
    return match.end() if public and not VERSION.search(match.string, max(0, start - 12), start) else None
