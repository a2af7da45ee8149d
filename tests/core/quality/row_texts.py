"""Clean rows in English and Chinese, put together from parts, and what makes a sample of them."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.funnel import Filter
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

GREETINGS = ("", "", "Hello, ", "Hi there! ", "good evening - ", "Dear team, ", "Quick question: ")
WHO = ("my neighbour", "the new tenant", "our accountant", "my mother", "a colleague from Porto", "the caretaker")
PROBLEMS = (
    "the washing machine stops in the middle of a cycle and shows the number 4",
    "nobody has answered the letter that I sent on the 3rd of May",
    "the invoice says 49.90 although we had agreed on 39.90 (see the offer of March)",
    "the lamp over the stairs flickers whenever the lift is moving",
    "I was told that the parcel is at the depot, and the depot has never heard of it",
    "the app logs me out as soon as I lock the phone :(",
    'the display says "please wait" since seven in the morning',
    "two of the three chairs arrived with scratches on the back",
    "the heating gurgles at night, mostly between one and two o'clock",
    "her name is spelt wrongly on every badge and in the list of guests",
    "the gate opens by itself when it rains hard",
    "they moved the meeting from Monday to Thursday without telling us why",
)
WISHES = (
    "Could somebody have a look before the weekend?",
    "What would you do in my place?",
    "I'd rather not send it back again.",
    "Please tell me a) what it costs and b) how long it takes.",
    "Is that normal, or do I have to worry?",
    "Maybe you know a workshop near the station.",
    "That makes three times this year.",
    "I can send pictures if they help.",
    "",
)
ADVICE = (
    "Unplug it for ten minutes, clean the filter behind the lower flap, and start a short programme without laundry.",
    "The depot keeps parcels for 7 days; after that they go back to the sender.",
    "Write to the office with the date of the offer, and they will correct the amount within a week.",
    "Tighten the two screws on the left, then check whether the **lower** hinge still moves freely.",
    "1) open the settings, 2) choose Accounts, 3) remove the old device.",
    "That is the valve: turn it a quarter to the right (no further), and listen again at night.",
    "| step | minutes |\n| --- | --- |\n| drain | 5 |\n| rinse | 12 |",
    "Run `systemctl status cups` and look for the line that begins with Active.",
    "A badge can be printed again at the front desk, free of charge, until noon.",
    "Ask for the caretaker; he has the key to the cabinet on the third floor.",
)

ZH_GREETINGS = ("", "", "你好，", "您好！", "请问，", "麻烦问一下，", "早上好，")
ZH_PROBLEMS = (
    "洗衣机洗到一半就停了，屏幕上一直显示数字四",
    "五月三号寄出去的信到现在也没有人回复",
    "发票上写的是四十九块九，可是当时说好的是三十九块九（见三月份的报价）",
    "楼道里的灯只要电梯一动就开始闪",
    "物流说包裹在站点，站点的人却说从来没见过",
    "手机一锁屏，软件就自动退出登录了",
    "屏幕上写着“请稍候”，已经等了一个上午",
    "三把椅子里有两把的靠背上有划痕",
    "暖气半夜总是咕噜咕噜响，大概在一两点钟",
    "她的名字在每张胸牌上都印错了一个字",
    "下大雨的时候小区的大门会自己打开",
    "会议从星期一改到星期四，也没人跟我们说原因",
)
ZH_WISHES = (
    "周末之前能不能派人来看一下？",
    "换成是您会怎么处理？",
    "我不太想再寄回去一次了。",
    "这种情况正常吗，还是需要担心？",
    "车站附近有没有靠谱的维修店？",
    "今年已经是第三次了。",
    "需要的话我可以拍照片发过去。",
    "",
)
ZH_ADVICE = (
    "先断电十分钟，把下面盖板后的滤网清洗干净，再空转一次短程序。",
    "包裹在站点最多保留七天，之后会退回给寄件人。",
    "请写明报价的日期，财务会在一周之内更正金额。",
    "把左边的两颗螺丝拧紧，再检查下面的合页是否还能活动。",
    "这是阀门的问题，往右拧四分之一圈就好（不要拧过头），晚上再听听看。",
    "胸牌可以在前台重新打印，中午之前都不收费。",
    "请找管理员，三楼柜子的钥匙在他那里。",
    "第一步：打开设置；第二步：选择“账号”；第三步：删除旧设备。",
)

Row = tuple[str, str]  # what the user says, and the answer


def english(draw: random.Random) -> Row:
    about = f"{draw.choice(WHO)} says that " if draw.random() < 0.4 else ""
    asked = f"{draw.choice(GREETINGS)}{about}{draw.choice(PROBLEMS)}. {draw.choice(WISHES)}".strip()
    return asked, draw.choice(ADVICE)


def chinese(draw: random.Random) -> Row:
    asked = f"{draw.choice(ZH_GREETINGS)}{draw.choice(ZH_PROBLEMS)}。{draw.choice(ZH_WISHES)}"
    return asked, draw.choice(ZH_ADVICE)


def written(count: int, seed: int = 0, *writers: Callable[[random.Random], Row]) -> list[Row]:
    """`count` rows of each writer, English and Chinese ones where none is named."""
    draw = random.Random(seed)
    return [writer(draw) for writer in writers or (english, chinese) for _ in range(count)]


def sample(asked: str, answer: str = "Yes, that works.", task: str = "qa", **rest: Any) -> Sample:
    return conversation([asked, answer], task=task, **rest)


def conversation(turns: Sequence[str], system: str = "You help the people of this house.", **rest: Any) -> Sample:
    """A sample whose turns are the user's and the assistant's, one after the other."""
    said = [Message(role="user" if place % 2 == 0 else "assistant", content=text) for place, text in enumerate(turns)]
    return Sample.make([Message(role="system", content=system), *said], **({"task": "qa", "origin": "teacher"} | rest))


def context() -> FunnelContext:
    return FunnelContext(FakeEncoder(), [])


def reasons(judge: Filter, *samples: Sample) -> list[str | None]:
    return judge(samples, context()).reasons


def precision_and_recall(judge: Filter, clean: Sequence[Sample], planted: Sequence[Sample]) -> tuple[float, float]:
    """Of what is dropped, the share that was planted; of what was planted, the share that is dropped."""
    draw = random.Random(1)
    mixed = [(row, bad) for rows, bad in ((clean, False), (planted, True)) for row in rows]
    draw.shuffle(mixed)
    dropped = [reason is not None for reason in reasons(judge, *(row for row, _ in mixed))]
    hits = sum(drop and bad for drop, (_, bad) in zip(dropped, mixed, strict=True))
    return hits / max(1, sum(dropped)), hits / len(planted)
