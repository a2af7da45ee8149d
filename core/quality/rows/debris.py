"""What is left of templates and models in a text: slots that nobody filled, markup of chats, talk of a machine."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...text import folded, normalised, words_of
from ..context import FunnelContext, Judgements
from ..parts import SAID, Part, texts_of
from .code_spans import without_code

Looked = Literal["machine_talk", "placeholder", "filler", "chat_markup", "echo"]

LONGEST_ECHO = 4000  # characters of an instruction; a longer one is a document, which an answer may well quote

MACHINE_TALK = re.compile(
    r"\b(?:as|being) an? (?:large |helpful |virtual )?(?:ai|artificial intelligence|language model)"
    r"(?: (?:language|chat))?(?: (?:model|assistant|bot))?, i\b"
    r"|\bas an? (?:large )?(?:ai )?language model\b"
    r"|\bi(?:['’]m| am) (?:just |only |merely )?an? (?:large |helpful )?(?:ai|language model)\b"
    r"|\bmy (?:training data|knowledge cut-?off)\b"
    r"|\bi (?:can['’]?t|cannot|can not|am unable to|won['’]t) (?:fulfil+|comply with) (?:this|that|your) request"
    r"|\bi (?:don['’]t|do not) have (?:personal (?:experiences|opinions|feelings)|access to real-time)\b"
    r"|作为一?[个名款]?(?:大型|大)?(?:ai|人工智能|智能)(?:大|语言)*(?:模型|助手|助理|[,我])|作为一?[个名款]?(?:大型)?语言模型"
    r"|我(?:只是|仅仅是|是)一?[个名款]?(?:大型)?(?:ai|人工智能|语言模型)|我的(?:训练数据|知识截止)"
)
"""Over folded text, in which the Chinese comma is the plain one."""
MAYBE_MACHINE = ("ai", "model", "intelligence", "request", "training", "cut", "have", "智能", "模型", "训练", "知识")

LEADS = (
    r"(?:your|my|our|first|last|full|start|end|due|current|previous|new|old|business|company|contact"
    r"|product|service|order|account|invoice|tracking|reference|phone|telephone|e-?mail|job|user|zip|street"
    r"|(?:customer|client|user|recipient|sender|agent|employee|company)(?:['’]?s)?)[ _-]"
)
NAMED = (  # what hardly stands in brackets for another purpose
    r"(?:name|company|organi[sz]ation|brand|product|topic|subject|city|town|country|address|username|recipient|sender"
    r"|customer|client|signature|amount|placeholder|date)"
)
VAGUE = (
    r"(?:service|title|time|day|month|year|street|state|code|phone|number|id|e-?mail|url|website|link|price|password"
    r"|position|role|department|location|reason|details|item|issue|problem)"
)
SLOT = rf"(?:{LEADS}){{0,3}}{NAMED}|(?:{LEADS}){{1,3}}{VAGUE}"
FILL = r"(?:insert|enter|fill in|specify|replace with|add your|your|put your)"
MASKS = r"(?!\[(?:EMAIL|PHONE|CARD|IBAN|CN_ID|US_SSN|IP|SECRET)\])"  # what `personal_data` writes
ZH_LEAD = r"(?:您的|你的|客户的?|用户的?|收件人的?|对方的?|请?(?:在此)?(?:填写|输入|插入|填入)|此处)"
ZH_SLOT = (
    r"(?:姓名|名字|公司名称?|产品名称?|品牌名称?|具体日期|日期|详细地址|地址|电话号码|手机号码?|联系电话|邮箱(?:地址)?"
    r"|城市(?:名称?)?|主题|金额|订单号码?|订单编号|账号|职位|部门)"
)
SET = r"(?<![\w\\}^_$#{])\{"  # no brace of a formula or of code
PLACEHOLDER = re.compile(
    "|".join(
        (
            rf"{MASKS}\[ ?(?i:{SLOT})(?i: here)? ?\](?![(\[:])",
            rf"\[ ?(?i:{FILL})\b[^\[\]\n]{{1,60}}\](?!\()",
            rf"<(?i:{FILL})\b[^<>\n=]{{1,60}}>",
            rf"<(?i:(?:{LEADS}){{1,3}}(?:{NAMED}|{VAGUE}))>",
            r"<(?:[A-Z]{2,}(?:[_ -][A-Z]{2,})+|NAME|TOPIC|DATE|COMPANY|PRODUCT|CITY|AMOUNT)>",
            rf"{SET}\{{? ?(?:(?i:{SLOT})|[a-z]+(?:_[a-z]+)+) ?\}}?\}}",
            rf"{SET}\{{ ?[A-Za-z_.]{{2,40}} ?\}}\}}",
            rf"[\[{{<＜]\s?{ZH_LEAD}?{ZH_SLOT}\s?[\]}}>＞](?!\()",
            rf"【\s?{ZH_LEAD}{ZH_SLOT}\s?】",  # without the lead it is a heading
            r"[\[【{<(（＜]\s?请?(?:在此处?|此处)(?:填写|输入|插入|填入)",
            r"(?<![A-Za-z])[Xx×]{2,4}(?:公司|先生|女士|小姐)",
        )
    )
)
OPENS = re.compile(r"[\[{<【＜(（]|[Xx×]{2}")

FILLER = ("lorem ipsum", "dolor sit amet", "consectetur adipiscing", "此处省略", "这里是示例文本", "占位文本")
CHAT_MARKUP = re.compile(
    r"<\|[A-Za-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|^#{2,4} ?(?:Instruction|Response|Input|Output|指令|回答)s? ?[:：]"
    r"|\A\s*<s>|</s>\s*\Z|<(?:start|end)_of_turn>",
    re.MULTILINE,
)


class TemplateDebris(Setting):
    """Drop what a template or a model left in a text: unfilled slots, chat markup, filler, talk of a machine, echo.

    An answer is an `echo` when it begins with the whole prompt, or holds the whole system prompt. Code blocks, and the
    answers of code tasks, are not searched for slots, nor are the masks of `personal_data`.
    """

    kind: Literal["template_debris"] = "template_debris"
    judges: tuple[Part, ...] = Field(SAID, min_length=1, description="which messages are judged")
    looks_for: tuple[Looked, ...] = Field(
        ("machine_talk", "placeholder", "filler", "chat_markup", "echo"), min_length=1, description="which debris"
    )
    min_echo: int = Field(6, ge=2, le=100, description="words from which a repeated prompt is an echo")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements([self._reason(sample) for sample in batch])

    def _reason(self, sample: Sample) -> str | None:
        for text in texts_of(sample, self.judges):
            if (found := self._found(text, code=sample.task == "code")) is not None:
                return found
        echoes = "echo" in self.looks_for and "answer" in self.judges and sample.label is None
        return "echo" if echoes and is_echo(sample, self.min_echo) else None

    def _found(self, text: str, code: bool) -> Looked | None:
        looks = self.looks_for
        folds = folded(text)
        if "machine_talk" in looks and any(map(folds.__contains__, MAYBE_MACHINE)) and MACHINE_TALK.search(folds):
            return "machine_talk"
        if "filler" in looks and any(map(folds.__contains__, FILLER)):
            return "filler"
        if not OPENS.search(text) and "#" not in text:
            return None
        if "chat_markup" in looks and CHAT_MARKUP.search(text):
            return "chat_markup"
        if "placeholder" in looks and not code and PLACEHOLDER.search(without_code(text)):
            return "placeholder"
        return None


def is_echo(sample: Sample, fewest: int) -> bool:
    """Whether the answer says the prompt again before it answers, or the system prompt anywhere."""
    answer = normalised(sample.completion)
    asked = normalised(sample.prompt)
    if answer.startswith(asked) and len(words_of(asked)) >= fewest:
        return True
    told = [turn.content for turn in sample.messages if turn.role == "system"]
    return any(
        len(content) <= min(LONGEST_ECHO, len(answer) + 100)
        and (instruction := normalised(content)) in answer
        and len(words_of(instruction)) >= fewest
        for content in told
    )
