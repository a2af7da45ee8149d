"""Suitability: three questions answered with figures; known bad fits refused, but nothing that only sounds like one."""

import json
import random
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.generation.suitability import Acknowledged, Facts, SuiteFacts, assess, bad_fits_of, refuse_bad_fits
from wheelwork.core.settings import parse

SCENARIOS = Path(str(resources.files("wheelwork.scenarios")))
TOPICS = {"billing": "bill charge refund money", "move": "house address moving van", "drop": "line cuts wifi dead"}


def rows(each: int, topics: dict[str, str] = TOPICS) -> list[tuple[str, str]]:
    rng = random.Random(1)
    return [
        (" ".join(rng.choices(said.split(), k=5)) + f" x{label}{n}", label)
        for label, said in topics.items()
        for n in range(each)
    ]


def facts(seeds: list[tuple[str, str]] | None = None, **changes: Any) -> Facts:
    seeds = rows(8) if seeds is None else seeds
    known: dict[str, Any] = {
        "task": "classify",
        "labels": dict.fromkeys(TOPICS, "a topic"),
        "counts": Counter(label for _, label in seeds),
        "seeds": seeds,
        "targets": [SuiteFacts("holdout", "exact_label", 120)],
    }
    return Facts(**known | changes)


# structured


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "yes"),
        ({"labels": {f"l{n}": "" for n in range(51)}}, "weak"),
        ({"task": "code"}, "yes"),
        ({"task": "grounded_qa", "passages": 40, "under_headings": 40}, "yes"),
        ({"task": "grounded_qa", "passages": 40, "under_headings": 10}, "weak"),
        ({"task": "grounded_qa"}, "no"),
        ({"task": "qa"}, "weak"),
        ({"task": "dialogue"}, "weak"),
        ({"task": "summarize"}, "weak"),
        ({"task": "painting"}, "no"),
    ],
)
def test_structured_says_how_free_an_answer_is(changes: dict[str, Any], verdict: str) -> None:
    answer = assess(facts(**changes)).structured
    assert answer.verdict == verdict
    assert answer.why


# learnable


def test_enough_seeds_that_can_be_told_apart_are_learnable() -> None:
    answer = assess(facts()).learnable
    assert answer.verdict == "yes"
    assert answer.figures["fewest"] == 8
    assert answer.figures["neighbours_agree"] > 0.9
    assert answer.figures["chance"] == pytest.approx(7 / 23)


@pytest.mark.parametrize(
    ("counts", "verdict", "why"),
    [
        ({"billing": 9, "move": 5, "drop": 4}, "weak", "only 4 seeds of `drop`"),
        ({"billing": 9, "move": 9}, "weak", "only 0 seeds of `drop`"),
        ({"billing": 9, "move": 1}, "no", "fewer than 2 seeds"),
        ({}, "no", "fewer than 2 seeds"),
        ({"billing": 90, "move": 5, "drop": 5}, "weak", "90 seeds and another 5"),
    ],
)
def test_few_or_uneven_seeds_are_told(counts: dict[str, int], verdict: str, why: str) -> None:
    answer = assess(facts([], counts=counts)).learnable
    assert (answer.verdict, why in answer.why) == (verdict, True)


@pytest.mark.parametrize(("each", "verdict"), [(8, "weak"), (40, "no")])
def test_labels_that_the_words_do_not_carry_are_no_better_than_chance(each: int, verdict: str) -> None:
    seeds = rows(each)
    labels = [label for _, label in seeds]
    random.Random(2).shuffle(labels)
    shuffled = [(text, label) for (text, _), label in zip(seeds, labels, strict=True)]
    answer = assess(facts(shuffled)).learnable
    assert answer.verdict == verdict
    assert "chance" in answer.why or "need one label" in answer.why
    assert answer.figures["neighbours_agree"] < 0.6


def test_seeds_that_say_the_same_under_two_labels_are_quoted() -> None:
    answer = assess(facts([*rows(8), ("my bill is far too high", "billing"), ("My bill is far too high!", "move")]))
    assert answer.learnable.verdict == "weak"
    assert "“my bill is far too high” is `billing`, but “My bill is far too high!” is `move`" in answer.learnable.why
    assert answer.learnable.figures["contradictions"] == 2


def test_many_seeds_are_thinned_evenly() -> None:
    answer = assess(facts(rows(1000))).learnable
    assert answer.figures["seeds"] == 3000
    assert answer.figures["neighbours_agree"] > 0.9


def test_other_tasks_are_asked_for_the_number_of_seeds_only() -> None:
    answer = assess(facts(task="qa", labels={})).learnable
    assert answer.verdict == "yes"
    assert "chance" not in answer.figures


# verifiable


@pytest.mark.parametrize(
    ("targets", "verdict", "why"),
    [
        ([], "no", "no suite"),
        ([SuiteFacts("a", "exact_label", 300)], "yes", "300 items"),
        ([SuiteFacts("a", "matches", 60)], "weak", "smaller gains"),
        ([SuiteFacts("a", "exact_label", 12)], "no", "too few"),
        ([SuiteFacts("a", "judge", 300)], "weak", "likeness"),
        ([SuiteFacts("a", "perplexity", 300)], "no", "no right answers"),
        ([SuiteFacts("a", "exact_label", 300), SuiteFacts("b", "exact_label", 12)], "no", "`b`"),
    ],
)
def test_verifiable_says_whether_a_gain_could_be_seen(targets: list[SuiteFacts], verdict: str, why: str) -> None:
    answer = assess(facts(targets=targets)).verifiable
    assert (answer.verdict, why in answer.why) == (verdict, True)


def test_more_items_show_smaller_gains() -> None:
    effects = [
        assess(facts(targets=[SuiteFacts("a", "matches", n)])).verifiable.figures["min_detectable"]
        for n in (30, 100, 300)
    ]
    assert effects == sorted(effects, reverse=True)


# bad fits


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("medical_diagnosis", {"instruction": "Read the symptoms of the patient and name the disease. Diagnose."}),
        ("medical_diagnosis", {"instruction": "Give the likely diagnosis.", "setting": "Patients tell symptoms."}),
        ("medical_diagnosis", {"instruction": "Identify the disease from the description of the illness."}),
        ("medical_diagnosis", {"instruction": "Recommend a medication and its dosage for the symptoms."}),
        ("medical_diagnosis", {"description": "Medical diagnosis from clinical notes."}),
        ("medical_diagnosis", {"instruction": "根据患者的症状诊断疾病。"}),
        ("medical_diagnosis", {"instruction": "阅读病历，推荐用药和剂量。"}),
        ("medical_diagnosis", {"setting": "All tell symptoms.", "labels": {"flu": "", "asthma": "", "migraine": ""}}),
        ("medical_diagnosis", {"instruction": "Classify the chest X-ray report into a disease."}),
        ("medical_diagnosis", {"instruction": "Tell people which disease they may have."}),
        ("medical_diagnosis", {"instruction": "Triage emergency patients by their condition."}),
        ("legal_judgement", {"instruction": "Predict how the court will rule."}),
        ("legal_judgement", {"instruction": "Give the verdict.", "setting": "A court hears a case."}),
        ("legal_judgement", {"instruction": "Decide whether the defendant is guilty."}),
        ("legal_judgement", {"instruction": "Decide which party is liable.", "description": "Civil cases in court."}),
        ("legal_judgement", {"instruction": "Predict the outcome of the lawsuit."}),
        ("legal_judgement", {"instruction": "Suggest the sentencing for the offence."}),
        ("legal_judgement", {"instruction": "阅读案情，给出判决结果。"}),
        ("legal_judgement", {"instruction": "判断被告是否有罪。"}),
        ("contract_validity", {"instruction": "Decide whether the contract is valid."}),
        ("contract_validity", {"instruction": "Say if this clause is enforceable."}),
        ("contract_validity", {"instruction": "Is the agreement void?", "labels": {"void": "", "valid": ""}}),
        ("contract_validity", {"instruction": "Read the clause.", "labels": {"enforceable": "", "unenforceable": ""}}),
        ("contract_validity", {"instruction": "判断合同是否有效。"}),
        ("unstructured_pages", {"instruction": "Answer questions about arbitrary web pages."}),
        ("unstructured_pages", {"setting": "Texts are raw HTML pages."}),
        ("unstructured_pages", {"instruction": "从任意网页中提取答案。"}),
        ("multilabel_emotion", {"instruction": "Name all emotions of the text."}),
        ("multilabel_emotion", {"instruction": "Tag the text with all labels that apply.",
                                "labels": {"joy": "", "anger": "", "fear": "", "neutral": ""}}),
        ("multilabel_emotion", {"instruction": "Tag the text.", "labels": {"joy": "", "joy+fear": "", "neutral": ""}}),
        ("multilabel_emotion", {"instruction": "标出文本的多种情绪。"}),
    ],
)  # fmt: skip
def test_a_bad_fit_is_found_and_refused(kind: str, said: dict[str, Any]) -> None:
    found = bad_fits_of(facts(**said))
    assert [fit.kind for fit in found] == [kind]
    with pytest.raises(ConfigError) as error:
        refuse_bad_fits(found, (), "my/loop.yaml")
    told = str(error.value)
    assert told.startswith("my/loop.yaml: this looks like ")
    assert f"acknowledge: [{{fit: {kind}, reason:" in told
    assert "“" in told or "label" in told


@pytest.mark.parametrize(
    "said",
    [
        {"instruction": "Diagnose the network fault from the symptoms that the customer describes."},
        {"instruction": "You are a patient agent. Diagnose what is wrong with the customer's router."},
        {"instruction": "Give the most likely diagnosis of the fault.", "setting": "Technicians describe symptoms."},
        {"name": "fault-diagnosis", "description": "Fault diagnosis for machines by their symptoms."},
        {"instruction": "Home-broadband diagnosis: route the message.", "setting": "Please be patient with customers."},
        {"instruction": "Diagnose errors in the software of hospitals that shows medical records."},
        {"instruction": "Answer from the sick leave policy.", "description": "Illness, medical certificates, who "
         "sees the diagnosis, continued pay and return to work after a long illness."},
        {"instruction": "Route messages of patients about appointments and bills. Never give a diagnosis."},
        {"instruction": "Answer patients' questions about opening hours; don't suggest medications or a diagnosis."},
        {"instruction": "Route the message.", "setting": "Customers of an online pharmacy ask about delivery.",
         "labels": {"delivery": "when the medication arrives", "dosage_leaflet": "wants the leaflet again"}},
        {"instruction": "根据用户描述诊断宽带故障。", "setting": "用户描述网络症状。"},
        {"instruction": "判断路由器故障诊断结果属于哪一类。"},
        {"instruction": "回答患者关于挂号的问题，不要给出诊断。"},
        {"instruction": "Route the message.", "labels": {"cancel_contract": "contract cancellation before its end",
         "contract_end": "asks how long the contract is valid and whether it is still valid"}},
        {"instruction": "Read the message.", "labels": {"coupon": "coupon is not valid", "contract": "wants a copy"}},
        {"instruction": "查询合同有效期和套餐。", "labels": {"合同到期": "合同有效期还有多久", "解约": "取消合同"}},
        {"instruction": "Answer from the FAQ of the legal department.", "setting": "Employees ask about non-disclosure "
         "agreements, signatures, contract templates, data protection and what to do with a letter from a court."},
        {"instruction": "Summarize the judgment of reviewers in one sentence.", "description": "Verdicts on phones."},
        {"instruction": "Who is liable for the charge? Route the billing message."},
        {"instruction": "Answer in one sentence. Decide which team gets the case."},
        {"instruction": "Answer questions about the pages of the handbook.", "setting": "The site has a help page."},
        {"instruction": "Diagnose why the tablet is slow.", "setting": "Nurses use tablets beside patients."},
        {"instruction": "Diagnose car trouble from what drivers report.", "setting": "Drivers describe symptoms."},
        {"instruction": "Answer questions about health insurance.", "setting": "Members ask which diseases and "
         "illnesses are covered, and who decides."},
        {"instruction": "Decide which department handles the complaint.", "setting": "Citizens write to a court."},
        {"instruction": "回答员工关于病假、就诊证明和工伤的问题"},
        {"instruction": "Label the review.", "labels": {"joy": "", "anger": "", "fear": ""}},
        {"instruction": "Classify the sentiment.", "labels": {"positive": "", "negative": "", "neutral": ""}},
        {"instruction": "Route the message.", "setting": "Customers with several devices and strong feelings write."},
    ],
    ids=lambda said: str(next(iter(said.values())))[:60],
)  # fmt: skip
def test_what_only_sounds_like_a_bad_fit_is_not_refused(said: dict[str, Any]) -> None:
    assert bad_fits_of(facts(**said)) == ()


def test_seeds_that_are_web_pages_are_a_bad_fit_but_not_for_code() -> None:
    page = "<html><body><div class='a'><p>Hello</p></div><p>x</p></body>"
    seeds = [*rows(4), *((f"{page} {n}", "billing") for n in range(8))]
    assert [fit.kind for fit in bad_fits_of(facts(seeds))] == ["unstructured_pages"]
    assert bad_fits_of(facts(seeds, task="code")) == ()


MEDICAL = facts(instruction="Diagnose the patient's disease.")


def test_an_acknowledged_bad_fit_comes_back_with_its_reason_for_the_log() -> None:
    given_reason = Acknowledged(fit="medical_diagnosis", reason="a physician reads every answer")
    [(fit, reason)] = refuse_bad_fits(bad_fits_of(MEDICAL), [given_reason])
    assert (fit.kind, reason) == ("medical_diagnosis", "a physician reads every answer")
    assert fit.evidence.startswith("“Diagnose” in `instruction`")


def test_another_acknowledgement_does_not_help() -> None:
    with pytest.raises(ConfigError, match="medical diagnosis"):
        refuse_bad_fits(bad_fits_of(MEDICAL), [Acknowledged(fit="legal_judgement", reason="we have a lawyer")])


@pytest.mark.parametrize("entry", [{"fit": "medical_diagnosis", "reason": "why"}, {"fit": "art", "reason": "x" * 20},
                                   {"fit": "legal_judgement", "reason": " " * 20}])  # fmt: skip
def test_an_acknowledgement_needs_a_known_fit_and_a_reason(entry: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        parse(Acknowledged, entry, "loop.yaml")


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=200), st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["a", "b"])), max_size=20))
def test_nothing_that_a_loop_says_raises(said: str, seeds: list[tuple[str, str]]) -> None:
    found = assess(facts(seeds, instruction=said, setting=said, labels={"a": said, "b": ""}))
    assert {found.structured.verdict, found.learnable.verdict, found.verifiable.verdict} <= {"yes", "weak", "no"}


# what comes with the package


def packaged(folder: Path) -> Facts:
    """The facts of a scenario, with its whole README as description, which says more than any description would."""
    config = yaml.safe_load((folder / "loop.yaml").read_text()) if (folder / "loop.yaml").exists() else {"task": {}}
    labels = next((yaml.safe_load(path.read_text()) for path in folder.glob("*s.yaml")), {})
    seeds = [json.loads(line) for line in (folder / "seeds.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [
        (row.get("text") or row.get("question") or row.get("instruction") or row["messages"][-2]["content"],
         str(row.get("label") or row.get("category") or row.get("passage", "").split("#")[0]))
        for row in seeds
    ]  # fmt: skip
    return facts(
        texts,
        task=config["task"].get("kind", "qa"),
        labels={label: what for label, what in labels.items() if isinstance(what, str)},
        description=(folder / "README.md").read_text(encoding="utf-8") + config.get("description", ""),
        instruction=config["task"].get("instruction", ""),
        setting=config["task"].get("setting", ""),
    )


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SCENARIOS.glob("*/seeds.jsonl")))
def test_no_packaged_scenario_is_a_bad_fit(name: str) -> None:
    assert bad_fits_of(packaged(SCENARIOS / name)) == ()


def test_the_first_scenario_is_structured_and_learnable() -> None:
    found = assess(packaged(SCENARIOS / "home_broadband"))
    assert (found.structured.verdict, found.learnable.verdict) == ("yes", "yes")
    assert found.learnable.figures["neighbours_agree"] > 3 * found.learnable.figures["chance"]


def test_its_labels_in_any_other_order_are_not_learnable() -> None:
    scenario = packaged(SCENARIOS / "home_broadband")
    labels = [label for _, label in scenario.seeds]
    random.Random(3).shuffle(labels)
    wrong = [(text, label) for (text, _), label in zip(scenario.seeds, labels, strict=True)]
    assert assess(replace(scenario, seeds=wrong)).learnable.verdict == "no"
