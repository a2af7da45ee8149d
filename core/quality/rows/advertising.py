"""Texts that sell something: calls to act beside prices, links and numbers, in English and Chinese."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...text import folded
from ..context import FunnelContext, Judgements
from ..parts import SAID, Part, texts_of

# a call to buy, as a command: at the start of a clause
CALL = re.compile(
    r"(?:^|[.!?,;:—–-]\s*|\b(?:and|so|to|please) |\n\s*)"
    r"(?:buy|order|shop|call|act|subscribe|sign up|register|apply|book|join) (?:it |yours? |one )?(?:now|today)\b"
    r"(?! (?:is|was|does|doesn|isn)\b)"
    r"|\bclick (?:here|below|the link|this link) (?:to|and) (?:buy|order|claim|get|win|save|subscribe|shop|grab)\b"
    r"|\bclaim your (?:free|prize|reward|gift|discount|bonus)|\byou(?:['’]ve| have) won\b"
    r"|\blimited[- ]time (?:offer|deal)|\bwhile (?:stocks?|supplies) lasts?"
    r"|\b(?:don['’]?t|do not) miss (?:out|this|our)\b"
    r"|\b(?:special|exclusive|unbeatable|amazing) (?:offers?|deals?|discounts?|promotions?)\b|\bflash sale\b"
    r"|\bbest price guaranteed|\bmoney[- ]back guarantee|\b100% (?:free|satisfaction|guaranteed)|\brisk[- ]free\b"
    r"|\bsatisfaction guaranteed|\bget (?:yours (?:now|today)|\d+ ?% off)"
    r"|\buse (?:promo |coupon |discount )?code [a-z]*\d[a-z0-9]*\b"
    r"|\b(?:earn|make) (?:up to )?[$€£]\s?\d[\d,]* (?:a|per|every) (?:day|week|month|hour)\b"
    r"|限时(?:优惠|特价|抢购|折扣|秒杀|特惠)|立即(?:购买|抢购|下单|领取|订购)|免费(?:领取|送)|名额有限|库存有限|先到先得"
    r"|欢迎(?:选购|订购)|诚招(?:代理|加盟)|(?:日赚|月入)(?:过?万|\d+)|不要错过|买一送一|(?:火热|全新)(?:预售|招商)"
)
MAYBE_CALL = (
    " now", " today", "click", "claim", " won", "limited", "last", "miss", "offer", "deal", "discount",
    "promotion", "flash", "guarantee", "risk", "free", "get ", "code ", "earn ", "make ", "visit", "check out",
    "follow", "add me", "add us", "dm ", "message ", "text me", "text us", "vx", "wx", "qq",
)  # fmt: skip
"""One of these stands in every English call, link or handle; they are found much faster than the patterns."""

# what those who sell and those who help both say
LEAD = re.compile(
    r"\bclick (?:here|below|the link|this link)"
    r"|\b(?:visit|check out|follow) (?:us\b|our (?:website|site|shop|store|page|channel))"
    r"|点击(?:链接|下方|这里|此处)|扫(?:描|一扫)?(?:下方|上方)?二维码|(?:关注|添加)(?:我们的?|官方|下方)?(?:公众号|客服微信)"
    r"|欢迎(?:咨询|来电)"
)
CONTACT = re.compile(
    r"https?://\S|\bwww\.\S|\b[a-z0-9-]{2,}\.(?:com|net|shop|store|xyz|top|cn|io|ly|me)(?:/\S*)?(?![\w@])"
    r"|(?<![\d.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{3,4})[ .-]?\d{3,4}[ .-]?\d{3,4}(?![\d.])|\bt\.me/\w"
)
PRICE = re.compile(
    r"\b\d{1,2} ?% (?:off|discount)|\bonly [$€£¥]\s?\d|\bjust [$€£¥]\s?\d|\bfree (?:shipping|delivery|gift)"
    r"|仅(?:需|售)\s?[¥￥]?\d|原价|现价|特价|包邮|(?:全场|低至)\s?[一二三四五六七八九\d.]+\s?折|(?:只要|只需)\s?[¥￥]?\d+(?:\.\d+)?元|立减|满\s?\d+\s?减"
)
HANDLE = re.compile(  # an invitation to go on elsewhere, which nobody writes but who sells
    r"(?:\+|加|添加|联系|咨询)\s?(?:我|我的|客服|老师|店主|本人)?\s?(?:微信|薇信|威信|v信|vx|wx|weixin|qq群?|扣扣)(?:号|群)?"
    r"\s?(?:[:：是为]|领|进群|[a-z][-_a-z0-9]{4,19}|[1-9]\d{4,10})"
    r"|(?:微信|薇信|v信|vx|wx|扣扣)(?:号|同号)?\s?[:：]\s?[a-z0-9][-_a-z0-9]{4,19}"
    r"|\bqq\s?(?:群|号)?\s?[:：]\s?[1-9]\d{4,10}"
    r"|\b(?:add|dm|text|message) (?:me|us) on (?:whats ?app|telegram|wechat|line)\b"
)


class Advertising(Setting):
    """Drop a text that sells: a call to act or an invitation to a chat account, and a further sign beside it.

    Signs are different calls to buy, a link to follow, a web address or phone number, a price or rebate; a chat
    account that one is to add counts as two. Without a call to buy or a price beside a link there is no sign at all:
    an answer may well name a web address and a number. Scores `advertising`, the number of signs.
    """

    kind: Literal["advertising"] = "advertising"
    judges: tuple[Part, ...] = Field(SAID, min_length=1, description="which messages are judged")
    min_signs: int = Field(2, ge=1, le=10, description="fewest signs that are dropped")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        signs = [max(map(signs_in, texts_of(sample, self.judges)), default=0) for sample in batch]
        return Judgements(
            ["advertising" if count >= self.min_signs else None for count in signs],
            {"advertising": [float(count) for count in signs]},
        )


def signs_in(text: str) -> int:
    """How many signs of a sale stand in `text`; 0 where nothing is sold."""
    folds = folded(text)
    if text.isascii() and not any(map(folds.__contains__, MAYBE_CALL)):
        return 0
    calls = len({match[0] for match in CALL.finditer(folds)}) + 2 * bool(HANDLE.search(folds))
    leads = bool(LEAD.search(folds))
    if not calls and not leads:
        return 0
    priced = bool(PRICE.search(folds))
    return calls + leads + priced + bool(CONTACT.search(folds)) if calls or priced else 0
