"""What is planted into clean rows, one function a defect: each takes a row and says it broken."""

import random
from collections.abc import Callable

from wheelwork.tests.core.quality.row_texts import Row

Plant = Callable[[Row, random.Random], Row]

MACHINE = (
    "As an AI language model, I cannot look at your device. ",
    "I'm just an AI, so I can't be sure, but ",
    "I am an AI and do not own a washing machine. ",
    "As a large language model I was not there. ",
    "My training data ends before that date. ",
    "作为一个人工智能语言模型，我无法查看您的设备。",
    "作为AI助手，我没有去过那里。",
    "我只是一个AI，不能确定。",
)
SLOTS = (
    "Dear [Customer Name], ", "Hello [NAME], ", "It is about {product_name}. ", "On [insert date here] it broke. ",
    "Write to <your email address>. ", "{{ topic }} ", "I live in [City]. ", "my order is [Order Number] ",
    "<COMPANY NAME> says so. ", "尊敬的[姓名]：", "{您的姓名}，", "【您的地址】",
    "我在XX公司工作。", "[请在此处填写原因]",
)  # fmt: skip
MARKUP = ("<|im_end|>", "[INST] ", "### Response: ", "<|assistant|>\n", "<<SYS>>")
FILLER = ("Lorem ipsum dolor sit amet. ", "lorem ipsum, ", "（此处省略一段）")
ADS = (
    "Buy now and get 20% off, only at www.example-shop.com!",
    "Limited time offer: only $9.99, visit our website today!",
    "Click here to claim your free gift: https://win.example.com/a1",
    "Order today and enjoy free shipping! Call 1-800-555-0199.",
    "Don't miss out, our special offer ends soon: http://deal.example.net",
    "Make $500 a day from home, message me on WhatsApp",
    "限时优惠，全场五折，立即抢购！",
    "加微信 abc12345 免费领取资料",
    "联系客服微信：promo888，名额有限",
    "QQ群：123456789，进群领红包，先到先得",
    "点击链接 https://t.example.cn/x 下单立减30元，买一送一",
    "想兼职的加我vx: job_2024，日赚500",
)
FOREIGN = (
    "Meine Waschmaschine bleibt mitten im Programm stehen und zeigt eine Vier an.",
    "Können Sie bitte noch vor dem Wochenende jemanden schicken?",
    "La machine à laver s'arrête au milieu du programme et affiche le chiffre quatre.",
    "Pourriez-vous envoyer quelqu'un avant la fin de la semaine ?",
    "La lavadora se para a mitad del programa y en la pantalla sale un cuatro.",
    "¿Podrían mandar a alguien antes del fin de semana?",
    "La lavatrice si ferma a metà del programma e sul display compare un quattro.",
    "De wasmachine stopt midden in het programma en er staat een vier op het scherm.",
    "A máquina de lavar para a meio do programa e aparece um quatro no visor.",
    "Tvättmaskinen stannar mitt i programmet och visar siffran fyra.",
    "Pralka zatrzymuje się w połowie programu i pokazuje cyfrę cztery.",
    "Стиральная машина останавливается посреди программы и показывает цифру четыре.",
    "洗濯機が途中で止まって、画面に四という数字が出ています。",
    "세탁기가 중간에 멈추고 화면에 숫자 사가 나옵니다.",
    "Çamaşır makinesi programın ortasında duruyor ve ekranda dört yazıyor.",
    "Máy giặt dừng giữa chừng và trên màn hình hiện số bốn.",
    "เครื่องซักผ้าหยุดกลางคันและหน้าจอแสดงเลขสี่",
    "الغسالة تتوقف في منتصف البرنامج وتظهر الرقم أربعة على الشاشة",
)


def _either(row: Row, text: str, draw: random.Random) -> Row:
    """`text` before what is asked, or before what is answered."""
    return (text + row[0], row[1]) if draw.random() < 0.5 else (row[0], text + row[1])


def debris(row: Row, draw: random.Random) -> Row:
    return _either(row, draw.choice((*MACHINE, *SLOTS, *MARKUP, *FILLER)), draw)


def echo(row: Row, draw: random.Random) -> Row:
    return row[0], row[0] + draw.choice((" ", "\n", "\n\n")) + row[1]


def repetition(row: Row, draw: random.Random) -> Row:
    answer = row[1]
    words = answer.split(" ") if " " in answer else list(answer)
    at, size = draw.randrange(max(1, len(words) - 3)), draw.randint(1, 3)
    glue = " " if " " in answer else ""
    many = glue.join(words[at : at + size] * draw.randint(12, 30))
    return row[0], draw.choice(
        (
            f"{answer}{glue}{many}",
            many,
            f"{answer}\n{answer}\n{answer}",
            answer + draw.choice("ah!！") * draw.randint(15, 60),
        )
    )


def language(row: Row, draw: random.Random) -> Row:
    text = draw.choice(FOREIGN)
    return (text, row[1]) if draw.random() < 0.5 else (row[0], text)


def structure(row: Row, draw: random.Random) -> Row:
    return row[0], draw.choice(
        (
            f"{row[1]}\n```python\nprint(1)\n",
            '{"steps": ["drain", "rinse"], "minutes": 12',
            '[{"step": "drain"}, {"step": ]',
            '{"a": 1,}',
            f"See [the manual](https://example.com/manual and then: {row[1]}",
            f"Mind this (see page 4. {row[1]}",
            f'The display says "wait. {row[1]}',
            f"**Note: {row[1].replace('**', '')}",
            "| step | minutes |\n| --- | --- |\n| drain | 5 | x |\n| rinse | 12 |",
            f"{row[1]} 请看说明书（第四页。",
            f"Use `ls to see. {row[1].replace('`', '')}",
            '```json\n{"a": [1, 2}\n```',
        )
    )


def advertising(row: Row, draw: random.Random) -> Row:
    text = draw.choice(ADS)
    return (f"{row[0]} {text}", row[1]) if draw.random() < 0.5 else (row[0], f"{row[1]} {text}")


def rules(row: Row, draw: random.Random) -> Row:
    cut = row[0].split(" ")[:2] if " " in row[0] else [row[0][:2]]
    return draw.choice(
        (
            ("", row[1]),
            (" ?! ", row[1]),
            (" ".join(cut), row[1]),
            (row[0] * 8, row[1]),
            (f"As an AI, {row[0]}", row[1]),
            (f"作为人工智能助手，{row[0]}", row[1]),
            (f"{row[0]} You total muppet.", row[1]),
            (row[0], "  "),
        )
    )
