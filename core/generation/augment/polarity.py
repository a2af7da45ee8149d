"""Whether a text says the contrary of another: a negation that came or went, or a word in its opposite's place.

Sentence embeddings put a sentence and its contrary next to each other (docs/log.md), so words are looked at instead,
English and Chinese ones. It is a guess by lists: who says the same by quite other words is not caught, and `not warm`
for `cold` passes because two turns undo each other.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...text import words

Said = TypeVar("Said")  # a text, or its words
Sides = tuple[list[str], ...]

DENIES = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|nowhere|neither|nor|cannot|without)\b"
    r"|n['’]t\b|\b(?:ca|wo|do|does|did|is|are|was|were|has|have|had|could|would|should)nt\b",
    re.IGNORECASE,
)
LACKS = re.compile(  # says of itself that something is not there or not so: a negation may stand for it
    r"\b(?:(?:fail|lack|refus|reject|deni|prevent|avoid|stop|absen|includ)\w*|miss(?:es|ed|ing)?|deny|unable|impossible|"
    r"hardly|barely|only|unless|los[et]|gone|broken|dead|empty|zero|free|instead|too|rather|turn(?:s|ed)? down)\b",
    re.IGNORECASE,
)
HAN_ASKS = re.compile(r"(.)[不没]\1")  # 是不是, 能不能: a question, and no negation
HAN_WORDS = re.compile(  # in which the sign denies nothing
    "不过|不同|不久|不仅|不但|不断|不错|不好意思|对不起|差不多|要不|不得不|有没有|没关系|特别|分别|区别|别的|别人|级别|性别|未来|非常"
)
HAN_DENIES = re.compile("[不没无未别勿非]")
HAN_LACKS = re.compile("[断坏缺免停拒禁空]|失败|取消|错过|而是|除非")

_OPPOSITES = """
on/off up/down before/after start*,begin*,began/stop*,end,ends,ended,halt* open*/clos*,shut* enabl*/disabl*
connect*/disconnect* lock*/unlock* install*/uninstall* increas*,rais*/decreas*,reduc*,lower*
accept*,approv*/reject*,refus* allow*,permit*/forbid*,prohibit*,ban* more/less,fewer most/least maximum/minimum
first/last early,earlier/late,later
cheap*/expensive,costly fast*,quick*/slow* hot,warm*/cold*,cool* high,higher,highest/low,lower,lowest full/empty
large*,big*/small* long,longest/short,shorter good,better,best/bad,worse,worst over/under upstairs/downstairs
upload*/download* upgrad*/downgrad* add,adds,added/remov* import*/export* arriv*/leav*,depart* inside,indoors/outside
morning*/evening*,night*,afternoon* today/tomorrow,yesterday healthy/ill,sick public*/private* prais*/blam*
keep*,kept/discard*,delet* extend*,renew*/cancel*,terminat* hold*,held,press*/releas* deposit*/withdr*
supplement*,surcharge*/deduct*,discount* easy,easier/difficult
"""
_HAN_OPPOSITES = """
打开/关闭,关掉 增加/减少,降低 提高/降低 之前,以前/之后,以后 早上,上午/晚上,下午 开始/结束,停止 接受,同意/拒绝 允许/禁止
最多/最少 上涨/下降 上升/下降 连接/断开 安装/卸载 上传/下载 升级/降级 便宜/贵 存入/取出
今天/明天,昨天 里面/外面 第一/最后
"""


SIDES = [tuple(side.split(",") for side in pair.split("/")) for pair in _OPPOSITES.split()]
HAN_SIDES = [tuple(side.split(",") for side in pair.split("/")) for pair in _HAN_OPPOSITES.split()]


def turned_round(parent: str, child: str) -> bool:
    """Whether `child` denies what `parent` says, as far as words tell.

    One turn turns it round: a word for its opposite, or a negation that only one of the two has, unless the other has
    a word of its own that denies by itself (`missing`). A negation and an opposite together say the same again; two
    opposites do not, as they mostly stand for two things.
    """
    opposites = _opposites(words(parent), words(child), SIDES, _begins) + _opposites(
        parent, child, HAN_SIDES, str.__contains__
    )
    return opposites > 1 or (opposites == 1) != _denied(parent, child)


def _opposites(parent: Said, child: Said, pairs: Sequence[Sides], holds: Callable[[Said, str], bool]) -> int:
    """How many pairs of opposites have one side in `parent` alone and the other in `child` alone."""
    found = 0
    for pair in pairs:
        (here, there), (here_too, there_too) = (
            tuple(any(holds(said, word) for word in side) for side in pair) for said in (parent, child)
        )
        found += here != there and (here, there) == (there_too, here_too)
    return found


def _begins(said: list[str], stem: str) -> bool:
    return any(word.startswith(stem[:-1]) for word in said) if stem.endswith("*") else stem in said


def _denied(parent: str, child: str) -> bool:
    """Whether one of the two denies and the other does not, not even by a word of its own that means as much."""
    if _denies(parent) == _denies(child):
        return False
    denying, plain = (parent, child) if _denies(parent) else (child, parent)
    return not _lacks(plain) - _lacks(denying)


def _lacks(text: str) -> set[str]:
    return {match.casefold() for pattern in (LACKS, HAN_LACKS) for match in pattern.findall(text)}


def _denies(text: str) -> bool:
    return bool(DENIES.search(text) or HAN_DENIES.search(HAN_WORDS.sub("", HAN_ASKS.sub("", text))))
