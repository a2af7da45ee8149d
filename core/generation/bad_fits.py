"""Uses for which a small model that trains itself is a known bad fit, found by what a loop says of itself.

Evidence is never a single word: what is decided (a disease, guilt, validity) and what it is decided about (a patient, a
defendant, a contract) have to stand together. What the loop says that it does not do, and the diagnosis of machines, is
taken out first. The rest is English and Chinese; other languages are not searched.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "legal_judgement", "medical_diagnosis", "contract_validity", "unstructured_pages", "multilabel_emotion"
]  # fmt: skip

WHY: Mapping[Kind, str] = {
    "legal_judgement": "who is right before a court is a judgement that no suite can score, and an error harms people",
    "medical_diagnosis": "a diagnosis needs an examination and somebody who answers for it, and an error harms people",
    "contract_validity": "whether a contract holds depends on law and facts that do not stand in the text",
    "unstructured_pages": "pages of any shape give neither clean passages to learn from nor answers to check against",
    "multilabel_emotion": "people do not agree on several emotions of one text, so there is no right answer to learn",
}


@dataclass(frozen=True, slots=True)
class BadFit:
    """A use that is refused unless somebody answers for it; `evidence` quotes what it was recognised by."""

    kind: Kind
    evidence: str
    why: str


def _some(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def _apart(words: int) -> str:
    """At most so many words between two, in one sentence."""
    return rf"(?:[^\w.!?;\n]+\w+){{0,{words}}}?[^\w.!?;\n]+"


NEAR, FAR = _apart(3), _apart(7)
MACHINE = (
    r"(?:network|connection|connectivity|line|router|modem|wi-?fi|broadband|fault|failure|outage|hardware|software"
    r"|device|printer|server|system|engine|vehicle|car|machine|equipment|boiler|circuit|computer|laptop|tablet|phone"
    r"|app|website|database|query|bug|build|error|technical)s?"
)
SICK = r"(?:patient|disease|ill|tumou?r|medic|sympt)"
# what is not done, and what is done to machines: taken out before anything else is looked for
IGNORED = _some(
    rf"(?:\b(?:never|not(?! only)|no|without|nor|rather than|instead of)|n['’]t){_apart(4)}"
    r"(?:diagnos\w*|verdicts?|judg\w+|prescrib\w+|dosages?|(?:medical|legal) advice|void|valid\w*|enforceable|guilty"
    r"|liable)",
    rf"\b{MACHINE}[ -]+diagnos(?:is|es|tics?)\b",
    rf"\bdiagnos(?:e|es|ed|ing|is|tics?)\b(?:[^\w.!?;\n]+(?!{SICK})[\w-]+){{0,3}}?[^\w.!?;\n]+{MACHINE}\b",
    r"(?:不要|不得|不能|不可|不会|不做|不提供|禁止|切勿|而非|而不是)[^，。；！？\n]{0,10}?"
    r"(?:诊断|判决|裁决|用药|法律意见|有效性)",
    r"(?:网络|故障|设备|宽带|线路|系统|机器|车辆|路由器?|光猫|服务器)[^，。；！？\n]{0,4}诊断",
    r"诊断[^，。；！？\n]{0,6}(?:网络|故障|设备|宽带|线路|机器|路由|光猫|服务器)",
    r"有效期",
)

PATIENT = (
    r"\b(?:patients(?:['’])?|patient['’]s|(?:a|an|the|each|this|that|every|\w+ing) patient"
    r"(?=\s*(?:[.,;:?!)]|$|(?:is|has|was|who|with|reports?|describes?|suffers?|should|may|and|or|from|records?|history"
    r"|data|notes?|symptoms?|complain\w*)\b)))"
)
ILL = _some(
    PATIENT,
    r"(?<!plant )(?<!crop )(?<!leaf )\bdiseases?\b",
    r"\b(?:illness(?:es)?|medications?|tumou?rs?)\b",
    r"\b(?:medical|health|clinical) (?:conditions?|history|records?|scans?|reports?|notes?|cases?|findings|images?)\b",
    r"患者|病人|疾病|病情|病症|病历|就诊|用药|体征",
)
SYMPTOMS = _some(r"\bsymptoms\b", r"症状")
LEGAL = _some(
    r"\b(?:courts?|lawsuits?|litigation|defendants?|plaintiffs?|prosecut\w+|tribunals?|jurors?|jury"
    r"|criminal (?:case|law)s?|crimes?|felony|case law|judicial|offen[cs]es?|civil cases?)\b",
    r"法院|法庭|被告|原告|法官|案件|案情|刑事|诉讼|犯罪",
)
CONTRACT = (
    r"(?:(?<!api )(?<!data )(?<!smart )contracts?|agreements?|leases?|ndas?|covenants?|(?:contract(?:ual)? )?clauses?)"
)
DECIDE = (
    r"(?:decid|determin|judg|assess|evaluat|classif|predict|rul|check|tell|say|find out|verif|review|stat|establish)\w*"
)
EMOTIONS = _some(
    r"^(?:joy|happiness|happy|sad|sadness|anger|angry|fear|disgust|surprise|love|trust|anticipation|guilt|shame|grief|pride"
    r"|remorse|annoyance|amusement|admiration|disappointment|embarrassment|excitement|nervousness|relief|jealousy|envy)$",
    r"^(?:喜悦|高兴|快乐|开心|悲伤|难过|愤怒|生气|恐惧|害怕|厌恶|惊讶|爱|信任|期待|内疚|羞愧|焦虑|失望|尴尬)$",
)
# of labels that are emotions, and without such labels
SEVERAL = _some(
    r"\b(?:all(?: \w+)? (?:that|which) apply|multi-?label|(?:one or more|several|multiple) labels)\b",
    r"多标签|多个标签|所有适用",
)
SEVERAL_EMOTIONS = _some(
    rf"\b(?:all|several|multiple|one or more|more than one|each){_apart(2)}(?:emotions?|feelings?|moods?)\b",
    r"\b(?:emotions|feelings|moods) that apply\b|\bmulti-?label (?:emotion|mood)",
    r"(?:多个|一个或多个|一种或多种|多种|所有)(?:的)?(?:情绪|情感)",
)
DISEASES = _some(
    r"^(?:flu|influenza|pneumonia|diabetes|hypertension|asthma|migraine|bronchitis|depression|anxiety|cancer|tuberculosis"
    r"|malaria|hepatitis|arthritis|appendicitis|gastritis|covid(?:[ _-]?19)?|angina|eczema|an(?:a)?emia|stroke)$",
    r"^(?:流感|感冒|肺炎|糖尿病|高血压|哮喘|偏头痛|支气管炎|抑郁症|癌症|肺结核|肝炎|胃炎|关节炎|贫血)$",
)

# each way is a list of patterns that all have to be found, anywhere in what the loop says of itself
WAYS: Mapping[Kind, Sequence[Sequence[re.Pattern[str]]]] = {
    "medical_diagnosis": (
        (
            _some(
                r"\bdiagnos(?:e|es|ing)\b",
                rf"\b(?:predict|determin|giv|mak|suggest|provid|choos|nam|stat|assign|propos|output|return"
                rf"|classif|identif|answer with)\w*{NEAR}diagnos[ei]s\b",
                r"\b(?:medical|clinical|likely|probable|possible|differential|preliminary) diagnos[ei]s\b",
                rf"\bclassif\w*{FAR}(?:into|as|by){_apart(2)}(?:disease|illness)\w*",
                rf"\bwhich (?:disease|illness){NEAR}(?:have|has|suffers?)\b|\btriag\w+{NEAR}patients?\b",
                rf"\b(?:identif|predict|recogni[sz]|detect|determin|classif|infer)\w*{NEAR}(?:disease|illness)\w*",
                r"诊断|确诊|分诊|判断[^，。；！？\n]{0,8}(?:疾病|病)",
            ),
            ILL,
        ),
        (
            _some(
                rf"\b(?:recommend|suggest|choos|decid|determin|advis|adjust|prescrib|calculat)\w*{FAR}"
                r"(?:medications?|medicines?|drugs?|dosages?|doses?)\b",
                r"(?:推荐|建议|决定|确定|开具?|调整)[^，。；！？\n]{0,8}(?:用药|药物|处方|剂量|药品)",
            ),
            _some(ILL.pattern, SYMPTOMS.pattern, r"\bdos(?:age|e)s?\b", r"剂量|处方"),
        ),
    ),
    "legal_judgement": (
        (
            _some(
                r"\b(?:verdicts?|guilty|acquit\w*|convict(?:ed|ion|ions)?|sentencing|prison sentences?)\b",
                r"\bsentenced to\b",
                rf"\b{DECIDE}{FAR}(?:liable|liability|at fault|negligen\w+)\b",
                rf"\b(?:predict|forecast|decid)\w*{FAR}(?:outcomes?|rulings?|rules?|judge?ments?|decisions?)\b",
                r"判决|判刑|量刑|定罪|有罪|无罪|裁决|胜诉|败诉|(?:判断|预测|认定)[^，。；！？\n]{0,8}(?:责任|罪名)",
            ),
            LEGAL,
        ),
    ),
    "contract_validity": (
        (
            _some(
                rf"\b{CONTRACT}{FAR}(?:(?:un)?enforceable|void(?:able)?|legally (?:binding|valid))\b",
                rf"\b(?:(?:un)?enforceable|void(?:able)?|legally (?:binding|valid)){NEAR}{CONTRACT}\b",
                rf"\b(?:enforceability|(?:legal )?validity) of{NEAR}{CONTRACT}\b",
                rf"\b{CONTRACT} (?:enforceability|validity)(?! (?:period|date|term|until))\b",
                rf"\b{DECIDE}{FAR}(?:whether|if){NEAR}{CONTRACT}{NEAR}(?<!still )(?:valid|invalid)\b"
                r"(?! (?:until|for|from|through))",
                r"(?:合同|协议|条款|遗嘱)[^，。；！？\n]{0,10}(?:是否有效|有效性|无效|效力|可撤销|法律约束力)",
                r"(?:有效|无效)(?:的)?(?:合同|协议|条款)",
            ),
        ),
    ),
    "unstructured_pages": (
        (
            _some(
                r"\b(?:arbitrary|unstructured|free-?form|raw|scraped|crawled|random|all kinds of|any kind of)"
                r"(?:[ -]\w+)?[ -](?:web ?pages?|web ?sites?|html(?: pages?)?|scans|internet pages?|pages)\b",
                r"\b(?:scraped|crawled) (?:off|from)(?: \w+)? (?:web|web ?pages?|web ?sites?|internet)\b",
                r"(?:任意|任何|非结构化|各种|爬取|抓取|杂乱)(?:的)?[^，。；！？\n]{0,4}(?:网页|网站|页面|扫描件)",
            ),
        ),
    ),
    "multilabel_emotion": (),  # told by its labels, below
}
PARTS = re.compile(r"\s*(?:[+&/]|\band\b)\s*")
VALIDITY = _some(r"^(?:(?:in)?valid|void(?:able)?|(?:un)?enforceable|有效|无效)$")
TAG = _some(r"</?(?:div|span|a|p|li|ul|td|tr|script|style|table|br|h[1-6]|img|nav|body|html)\b[^<>]*>")
FEWEST, SHARE = 5, 0.3  # seeds that are web pages


def bad_fits(
    fields: Mapping[str, str], labels: Mapping[str, str], seeds: Sequence[str], task: str
) -> tuple[BadFit, ...]:
    """What a loop is a bad fit for, by its descriptive `fields`, its label → description, and texts of its seeds."""
    said = {name: IGNORED.sub(" … ", text) for name, text in fields.items()}
    said |= {
        f"label `{label}`": IGNORED.sub(" … ", f"{label.replace('_', ' ')}: {what}") for label, what in labels.items()
    }
    found: dict[Kind, str] = {}
    for kind, ways in WAYS.items():
        for way in ways:
            places = [_first(pattern, said) for pattern in way]
            if all(places):
                found.setdefault(kind, ", ".join(dict.fromkeys(place for place in places if place)))
    for kind, evidence in (*_by_labels(said, labels), *_by_seeds(seeds, task)):
        found.setdefault(kind, evidence)
    return tuple(BadFit(kind, evidence, WHY[kind]) for kind, evidence in found.items())


def _first(pattern: re.Pattern[str], said: Mapping[str, str]) -> str:
    for name, text in said.items():
        if match := pattern.search(text):
            return f"“{' '.join(match[0].split())}” in {name if ' ' in name else f'`{name}`'}"
    return ""


def _by_labels(said: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[tuple[Kind, str]]:
    """Sets of labels that say what is decided: diseases of somebody, validity of a contract, several emotions."""
    names = [label.replace("_", " ").strip() for label in labels]
    diseases = [name for name in names if DISEASES.search(name)]
    if len(diseases) >= 3 and (about := _first(_some(ILL.pattern, SYMPTOMS.pattern), said)):
        yield "medical_diagnosis", f"the labels {', '.join(diseases[:3])} and {about}"
    validity = [name for name in names if VALIDITY.search(name)]
    if len(validity) >= 2 and (about := _first(_some(rf"\b{CONTRACT}\b", r"合同|协议|条款"), said)):
        yield "contract_validity", f"the labels {', '.join(validity[:3])} and {about}"
    emotions = [name for name in names if EMOTIONS.search(name)]
    joined = [name for name in names if sum(bool(EMOTIONS.search(part)) for part in PARTS.split(name)) > 1]
    several = _first(SEVERAL_EMOTIONS, said) or (_first(SEVERAL, said) if len(emotions) >= 3 else "")
    if joined:
        yield "multilabel_emotion", f"the label {joined[0]}"
    elif several:
        yield "multilabel_emotion", several + (f" and the labels {', '.join(emotions[:3])}" if emotions else "")


def _by_seeds(seeds: Sequence[str], task: str) -> Iterator[tuple[Kind, str]]:
    pages = [text for text in seeds if len(TAG.findall(text)) >= 3]
    if task != "code" and len(pages) >= max(FEWEST, SHARE * len(seeds)):
        yield "unstructured_pages", f"{len(pages)} of {len(seeds)} seeds are HTML"
