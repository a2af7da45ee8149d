"""Small grammars that make sentences nobody wrote: English for good rows, five other languages for wrong ones.

A grammar has words by part of speech, clauses of these parts, and words that join clauses. Its sentences mean little,
but each word and its place are those of the language, so that a model that tells languages knows them. The words that
are listed first are drawn most, the n-th with a weight of 1 / (n + 20); two English sentences of 25 words share hardly
a word triple.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, product
from typing import NamedTuple

DRAWN_AT_ONCE = 1024


class Grammar(NamedTuple):
    """`clauses` are parts of speech, which are the keys of `words`; a sentence is clauses with a `J` between each two.

    A sentence has `length` words, or as many as `clauses_a_sentence` clauses have.
    """

    words: dict[str, str]
    clauses: tuple[str, ...]
    clauses_a_sentence: int = 3
    length: int | None = None
    between: str = " "

    def sentences(self, draw: random.Random) -> Callable[[], str]:
        """What makes one sentence after another."""
        stock = {part: _endless(words.split(), draw) for part, words in self.words.items()}
        forms = [[stock[part] for part in form] for form in self._forms()]
        between = self.between
        return lambda: between.join([take() for take in draw.choice(forms)])

    def _forms(self) -> list[list[str]]:
        found = [" J ".join(clauses).split() for clauses in product(self.clauses, repeat=self.clauses_a_sentence)]
        return [form for form in found if self.length in (None, len(form))]


def _endless(words: Sequence[str], draw: random.Random) -> Callable[[], str]:
    """What gives the next of endlessly many words; drawn many at a time, which is ten times as fast."""
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(words))))

    def lots() -> Iterator[list[str]]:
        while True:
            yield draw.choices(words, cum_weights=weights, k=DRAWN_AT_ONCE)

    return chain.from_iterable(lots()).__next__


def _ending(ending: str, stems: str) -> str:
    return " ".join(stem + ending for stem in stems.split())


ENGLISH = Grammar(
    {
        # determiner, adjective, noun, verb with an object, verb without, adverb, preposition, pronoun, time, joint
        "D": "the this our my that their your another his her every neither",
        "A": (
            "old new small large good little long young great high short early late cold warm dark bright quiet loud "
            "heavy light empty full clean dirty cheap strong weak slow quick narrow wide soft hard wet dry broken open "
            "closed hidden lost simple strange happy tired hungry careful careless gentle rough smooth sharp blunt "
            "deep shallow round square flat steep green blue yellow grey brown white black red golden silver wooden "
            "plastic "
            "rusty dusty sandy rainy windy sunny foggy frozen boiling sleepy noisy lonely friendly lovely ugly pretty "
            "famous foreign local public ancient modern recent daily weekly yearly double single spare safe dangerous "
            "useful useless common rare curious patient polite rude honest clever foolish brave shy proud humble "
            "generous greedy lazy busy sour sweet bitter salty fresh rotten crooked straight distant nearby eastern "
            "western northern southern upper lower inner outer missing second third final former"
        ),
        "N": (
            "house garden street river mountain teacher farmer doctor baker sailor painter driver neighbour brother "
            "sister uncle cousin grandmother child friend stranger visitor guest captain pilot nurse lawyer judge "
            "soldier singer dancer writer reader student king queen prince village town city island harbour bridge "
            "station airport market shop office factory school library museum theatre hospital church tower castle "
            "farm field forest meadow valley desert beach lake ocean stream pond well road path corner window door "
            "roof wall floor ceiling kitchen bedroom cellar attic stairs chimney fence gate table chair bed lamp "
            "mirror carpet curtain pillow blanket basket bottle glass plate knife spoon kettle oven fridge bucket "
            "broom ladder hammer nail saw rope needle button shirt jacket coat hat glove scarf boot sock belt pocket "
            "umbrella suitcase wallet letter parcel stamp envelope newspaper book page picture camera radio piano "
            "violin drum guitar song story poem question answer lesson exam prize ticket map train bus ship boat "
            "bicycle lorry engine wheel bell clock candle match fire smoke stone brick sand clay iron copper cotton "
            "wool leather paper bread butter cheese egg apple pear cherry lemon onion potato carrot cabbage bean soup "
            "cake biscuit sugar pepper tea coffee milk juice horse cow sheep goat pig dog cat rabbit mouse fox wolf "
            "bear deer eagle owl crow pigeon swan duck hen fish frog snake spider bee ant tree branch leaf root flower "
            "rose grass seed fruit cloud storm shadow winter summer spring autumn morning evening journey holiday "
            "wedding birthday meeting party game race dream plan idea mistake promise"
        ),
        "V": (
            "found took saw brought left kept sold bought carried opened closed painted cleaned repaired borrowed "
            "returned noticed remembered forgot described followed watched heard liked missed moved lifted dropped "
            "pushed pulled covered counted measured drew built broke burned washed dried filled emptied fed caught "
            "chased reached crossed passed visited showed offered refused accepted received ordered delivered packed "
            "hid discovered studied recognised photographed replaced decorated examined collected gathered divided "
            "shared tied cut folded polished guarded warned thanked blamed praised invited greeted helped trusted "
            "feared admired ignored questioned touched kicked threw shook turned tasted smelled cooked"
        ),
        "I": (
            "arrived waited slept laughed smiled cried fell disappeared appeared stopped stayed sang danced worked "
            "rested listened whispered shouted walked ran swam travelled hesitated returned vanished survived"
        ),
        "M": (
            "quickly slowly quietly carefully suddenly finally nearly always never often sometimes rarely usually "
            "happily sadly angrily gently barely almost easily hardly secretly openly simply certainly probably "
            "perhaps already still soon politely eagerly calmly nervously proudly patiently recently eventually"
        ),
        "P": (
            "behind under near beside above below inside outside against across along around beyond towards through "
            "without with after before opposite past from beneath over for"
        ),
        "Q": "we they she he you i nobody everyone somebody",
        "T": "yesterday later today then once tonight twice again afterwards meanwhile there here upstairs",
        "J": "and but because while although when until so after before since where unless whenever",
    },
    ("D A N M V D N", "D N V D A N P D N", "Q M V D A N", "Q V D N P D A N T", "D N P D N I T", "T Q V D N",
     "P D A N Q V D N", "D N I P D A N"),
    length=25,
)  # fmt: skip

# the feminine only, whose article is the same in nominative and accusative
GERMAN = Grammar(
    {
        "D": "die eine diese meine jede unsere ihre keine seine deine eure welche",
        "A": _ending("e", "alt neu klein groß schön leer schwer rot grün blau dunkl kalt warm still laut müd krumm "
        "flach "
                          "teur billig schmutzig fröhlich ruhig wichtig hölzern einfach fremd vergessen zerbrochen"),
        "N": ("Frau Katze Straße Brücke Tür Lampe Tasche Küche Schule Stadt Blume Nachbarin Lehrerin Ärztin Köchin "
        "Reise "
              "Geschichte Frage Antwort Zeitung Uhr Flasche Tasse Gabel Decke Jacke Mütze Wiese Insel Wolke Mauer "
              "Leiter Kiste Rechnung Fahrkarte Zwiebel Kartoffel Birne Maus Ziege Schwester Tante Kerze"),
        "V": ("sieht findet sucht bringt kauft öffnet schließt trägt holt vergisst verkauft malt putzt hört mag "
        "braucht "
              "verliert repariert besucht zeigt beschreibt bewacht zählt misst versteckt"),
        "T": "heute gestern nie oft wieder gerade manchmal vielleicht endlich leise dort bald immer",
        "P": "für ohne gegen durch um",
        "J": "und aber denn oder doch sondern",
    },
    ("D A N V T D N", "T V D N D A N", "D N V T D N P D A N", "D N P D N V D A N"),
)  # fmt: skip

SPANISH = Grammar(
    {
        "D": "la una esta nuestra cada mi otra su aquella ninguna tu",
        "A": ("vieja nueva pequeña grande bonita vacía pesada roja verde oscura fría rota limpia sucia barata cara "
              "tranquila alegre extraña estrecha redonda perdida famosa antigua olvidada dulce amarga"),
        "N": ("casa mesa puerta ventana calle ciudad maestra vecina hermana tía abuela carta llave silla lámpara "
        "cocina "
              "iglesia montaña playa isla nube flor manzana cebolla patata botella taza manta chaqueta bufanda "
              "escalera "
              "cuchara historia pregunta respuesta canción gallina oveja cabra vaca tienda escuela estación "
              "fiesta"),
        "V": ("encuentra busca compra vende abre cierra lleva trae mira olvida recuerda pinta limpia arregla espera "
              "escucha pierde visita describe esconde cuenta necesita quiere guarda"),
        "T": "hoy siempre nunca ayer luego despacio todavía quizás también pronto allí",
        "P": "con sin para sobre bajo hasta desde contra entre según hacia",
        "J": "y pero porque mientras cuando aunque donde si pues",
    },
    ("D N A V T D N", "T D N V D N A", "D N V D N P D N A", "D N P D N V T D N"),
)  # fmt: skip

FRENCH = Grammar(
    {
        "D": "la une cette notre ma chaque sa votre leur ta",
        "A": ("verte rouge noire vide lourde propre sale chère froide chaude étroite ronde perdue cassée ancienne "
        "triste "
              "tranquille sombre douce amère célèbre oubliée cachée fragile jaune"),
        "N": ("maison table porte fenêtre rue ville voisine sœur tante cousine lettre clé chaise lampe cuisine "
        "montagne "
              "plage rivière fleur pomme bouteille tasse couverture veste casquette cuillère question chanson poule "
              "chèvre vache boutique gare fête boulangère chanteuse reine lune neige pluie forêt serviette "
              "valise"),
        "V": ("trouve cherche vend ouvre ferme porte regarde oublie peint nettoie répare attend écoute perd visite "
              "décrit cache compte garde montre remplace reçoit suit connaît"),
        "T": "toujours souvent jamais enfin bientôt encore peut-être déjà parfois lentement ici",
        "P": "avec sans pour sur sous dans contre devant derrière chez vers",
        "J": "et mais car quand donc puis si comme où pourtant",
    },
    ("D N A V T D N", "D N V D N P D N A", "D N P D N V T D N A", "T D N V D N A"),
)  # fmt: skip

_RUSSIAN_NOUNS = (
    "ламп карт книг рек гор комнат сестр газет улиц зим рыб лис трав стен крыш берёз соседк бабушк девочк кошк собак "
    "чашк ложк лодк сумк шапк куртк картошк свечк сказк полк корзинк"
)
_RUSSIAN_ADJECTIVES = "стар нов красн зелён бел чёрн холодн тёпл тих громк пуст полн важн странн длинн дешёв маленьк"
RUSSIAN = Grammar(
    {  # the feminine in -а; capital for the subject, its accusative for the object
        "D": "эта наша моя каждая твоя ваша другая",
        "A": _ending("ая", _RUSSIAN_ADJECTIVES),
        "N": _ending("а", _RUSSIAN_NOUNS),
        "E": "эту нашу мою каждую твою вашу другую",
        "B": _ending("ую", _RUSSIAN_ADJECTIVES),
        "O": _ending("у", _RUSSIAN_NOUNS),
        "V": ("видит находит ищет приносит покупает открывает закрывает несёт забывает продаёт рисует чистит слышит "
        "любит "
              "теряет чинит показывает описывает прячет считает"),
        "T": "сегодня вчера всегда никогда часто снова иногда наконец тихо скоро здесь",
        "P": "через про за на под",
        "J": "и но когда пока если хотя где ведь зато",
    },
    ("D A N T V E O", "T D N V E B O", "D N V E B O P E O", "D A N V P E O"),
)  # fmt: skip

CHINESE = Grammar(
    {
        "Q": "我们 他们 老师 邻居 医生 妹妹 爷爷 司机 农民 学生 厨师 画家 朋友 客人 孩子",
        "T": "昨天 今天 早上 晚上 刚才 常常 终于 突然 已经 后来 上个月",
        "L": "在厨房里 在桥边 在学校门口 在花园里 在车站 在图书馆 在河边 在楼上 在市场",
        "V": "找到了 买了 打开了 忘记了 修好了 看见了 带来了 卖掉了 画了 藏起了 洗干净了 丢了 收到了",
        "D": "一个 那个 这个 另一个 每一个 我的 她的 邻居的 两个",
        "A": "旧的 新的 很小的 红色的 空空的 奇怪的 便宜的 破了的 沉重的 漂亮的 安静的 圆圆的",
        "N": "杯子 椅子 箱子 钥匙 窗户 故事 帽子 雨伞 苹果 盘子 瓶子 信封 照片 篮子 灯笼 梯子 毯子 钟表 风筝",
        "J": "，但是 ，因为 ，所以 ，然后 ，不过 ，虽然 ，而且 ，于是",
    },
    ("T Q L V D N", "Q T V D A N", "Q L V A N", "T Q V D A N"),
    clauses_a_sentence=2,
    between="",
)

OTHERS = (GERMAN, SPANISH, FRENCH, RUSSIAN, CHINESE)
