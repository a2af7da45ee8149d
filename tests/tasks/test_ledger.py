"""The steps that touch the ledger and the last door: what a round is judged by, what it leaves, what stops it."""

from pathlib import Path

import pytest
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.errors import LeakError
from wheelwork.core.evaluation.holdouts.leaks import LeakCheck, Looked
from wheelwork.core.ledger.judging import CANDIDATE, CHAMPION
from wheelwork.core.ledger.settings import LedgerSettings
from wheelwork.core.ledger.store import Ledger
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.encoder import Encode
from wheelwork.core.people.deciding import PeopleReviewed
from wheelwork.core.rounds import Replayed, Results, Round, Sifted, Site, SuiteAnswers
from wheelwork.core.samples import Sample
from wheelwork.tasks import leaks
from wheelwork.tasks.judge import judge
from wheelwork.tasks.ledger import fill_ledger, held_out_by, open_ledger, suites_of
from wheelwork.tasks.pool import draw_replay
from wheelwork.tests.core.ledger.rows import an_entry
from wheelwork.tests.core.pool.rows import a_pool, sample, samples
from wheelwork.tests.e2e.command import rows, tiny_loop, write_rows
from wheelwork.tests.fakes import FakeEncoder

BASE = "base"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(loop=tiny_loop(tmp_path / "loop", models=False), home=tmp_path / "home")


def a_round(site: Site, number: int) -> Round:
    id = f"{number:04d}-a"
    return Round(
        site=site,
        loop="tiny",
        id=id,
        seed=number,
        samples=9,
        champion=None,
        run_id="r",
        pool=None,
        excluded=(),
        ledger=open_ledger(site, "tiny", id, LedgerSettings(), anew=False),
    )


def sifted(site: Site, kept: list[Sample], people: PeopleReviewed | None = None) -> Sifted:
    store = ArtifactStore(site.artifacts)
    return Sifted(
        kept=store.write_samples(kept),
        dropped=store.write_samples([]),
        counts=(),
        cells={},
        examples={},
        seconds=0.0,
        people=people,
    )


def answered(site: Site, round_: Round, right: dict[str, set[str]]) -> Results:
    """The answers of each model: right to the questions that it knows; of suites and ledger."""
    store, suites = ArtifactStore(site.artifacts), dict(load_loop(site.loop).suites)
    suites |= suites_of(site, "tiny", round_.ledger.items)
    found = {}
    for name, suite in suites.items():
        scores = {model: [float(item.prompt in known) for item in suite.items] for model, known in right.items()}
        tables = [{"id": item.id, "reply": "no idea"} for item in suite.items]
        found[name] = SuiteAnswers(
            scores={model: store.write_json(values) for model, values in scores.items()},
            tables={model: store.write_json(tables) for model in right},
            means={},
            n=len(suite.items),
        )
    return Results(suites=found, calls=0, reused=0, seconds=0.0)


def questions(site: Site, count: int) -> set[str]:
    return {item.prompt for item in load_loop(site.loop).suites["holdout"].items[:count]}


def test_a_promoted_round_leaves_what_it_fixed_and_is_the_same_when_given_again(site: Site) -> None:
    first = a_round(site, 1)
    results = answered(site, first, {BASE: set(), CHAMPION: questions(site, 4), CANDIDATE: questions(site, 40)})
    done = [fill_ledger.fn(site, first, sifted(site, []), results, True) for _ in range(2)]
    assert len(done[0].added) == 36 and done[1].added == ()
    assert a_round(site, 1).ledger == first.ledger and a_round(site, 2).ledger.items is not None
    assert len(held_out_by(site, "tiny", a_round(site, 2).ledger.items)) == 36


def test_a_rejected_round_fixes_nothing_and_the_first_replaces_nobody(site: Site) -> None:
    first = a_round(site, 1)
    results = answered(site, first, {BASE: set(), CHAMPION: set(), CANDIDATE: questions(site, 9)})
    assert fill_ledger.fn(site, first, sifted(site, []), results, False).added == ()
    alone = answered(site, first, {BASE: set(), CANDIDATE: questions(site, 9)})
    assert fill_ledger.fn(site, first, sifted(site, []), alone, True).added == ()
    assert Ledger(site.home, "tiny").opened_by("0001-a") == 0


def test_the_verdict_of_a_round_heeds_the_ledger_and_names_what_is_undone(site: Site) -> None:
    Ledger(site.home, "tiny").add([an_entry("is it dead", "line")], replace=False)
    second, loop = a_round(site, 2), load_loop(site.loop)
    general = {item.prompt for item in loop.suites["general"].items}
    known = {BASE: general, CHAMPION: {"is it dead", *general}, CANDIDATE: questions(site, 40) | general}
    decision, told = judge(second, loop, answered(site, second, known), look=1)
    assert decision.verdict == "rejected" and "“is it dead”" in decision.reasons[0]
    assert decision.figures["holdout"].outcome == "pass"
    (undone,) = told.undone
    assert (undone.question, undone.right, undone.reply) == ("is it dead", "line", "no idea")
    assert told.sentences == ["The ledger has 1 items (1 from review); 1 undone."]
    assert "the candidate said “no idea”" in told.lines_of_markdown[0]
    off = loop.settings.model_copy(update={"ledger": LedgerSettings(off=True)})
    assert open_ledger(site, "tiny", "0003-a", off.ledger, anew=False).items is None


def test_what_people_corrected_in_a_round_comes_in_whatever_its_verdict(site: Site) -> None:
    better = sample("my bill is wrong", "bill", origin="feedback", source="sheet.csv:2")
    people = PeopleReviewed(mode="required", asked=2, corrected={"0" * 16: better.id})
    first = a_round(site, 1)
    results = answered(site, first, {BASE: set(), CANDIDATE: set()})
    told = fill_ledger.fn(site, first, sifted(site, [better], people), results, False)
    (held,) = Ledger(site.home, "tiny").held().values()
    assert told.added == (held.entry.id,) and held.entry.origin.round == "0001-a" and not held.entry.held_out


# held out


def test_replay_passes_over_what_a_round_fixed_and_not_over_corrections(site: Site) -> None:
    pool = a_pool(site.home, rows=60)
    texts = [one.prompt for one in pool.samples(pool.view(pool.head()).accepted)]
    fixed = [an_entry(text, "line", "round") for text in texts[:50]]
    Ledger(site.home, "tiny").add([*fixed, an_entry(texts[55], "line")], replace=False)
    fresh = ArtifactStore(site.artifacts).write_samples(samples(60, start=500))
    settings = load_loop(site.loop).settings
    drawn: Replayed = draw_replay.fn(
        site,
        pool=str(pool.head()),
        fresh=fresh,
        replay=settings.replay,
        funnel=settings.funnel,
        excluded=(),
        seeds="",
        suites={},
        prompts="",
        seed=0,
        ledger=a_round(site, 1).ledger.items,
    )
    held = {entry.item.prompt for entry in fixed}
    assert not held & {one.prompt for one in ArtifactStore(site.artifacts).samples(drawn.samples)}
    assert drawn.passed_over["held_out"] > 0


def checked(
    site: Site, monkeypatch: pytest.MonkeyPatch, kept: list[Sample], replayed: list[Sample] | None = None
) -> Looked:
    def encoder(loop: Loop) -> Encode:
        return FakeEncoder()

    monkeypatch.setattr(leaks, "load_encoder", encoder)
    store, loop = ArtifactStore(site.artifacts), load_loop(site.loop)
    ledger = a_round(site, 1).ledger.items
    known = leaks.embed_held_out.fn(site, {}, "", ledger, "")
    looked: Looked = leaks.check_leaks.fn(
        site,
        kept=store.write_samples(kept),
        replayed=store.write_samples(replayed) if replayed else None,
        rehearsal=store.write_samples([]),
        left_out=(),
        seeds=loop.material.seeds_digest,
        suites={},
        ledger=ledger,
        check=LeakCheck(),
        encoder="",
        embeddings=(known.vectors,),
    )
    return looked


def test_the_last_door_lets_clean_data_through_and_stops_replayed_copies(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checked(site, monkeypatch, samples(9)).rows == 9 + len(rows(4))
    held = load_loop(site.loop).suites["holdout"].items[3].prompt
    copy = sample(held.upper(), "line")
    with pytest.raises(LeakError, match=rf"replayed {copy.id} .*copies holdout\.jsonl:4 of `holdout`"):
        checked(site, monkeypatch, samples(9), [copy])


def test_the_last_door_holds_out_what_rounds_fixed_also_after_a_rotation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = samples(9)[0]
    Ledger(site.home, "tiny").add([an_entry(one.prompt, "line")], replace=False)
    checked(site, monkeypatch, samples(9))
    Ledger(site.home, "tiny").add([an_entry(samples(9)[1].prompt, "line", "round")], replace=False)
    with pytest.raises(LeakError, match="of `ledger`"):
        checked(site, monkeypatch, samples(9))


def test_a_seed_that_came_near_a_suite_is_told_by_its_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "the red light on the white box by the door blinks since this very morning again"
    write_rows(site.loop / "holdout.jsonl", [*rows(16, start=100), {"text": long, "label": "line"}])
    write_rows(site.loop / "seeds.jsonl", [*rows(4), {"text": f"{long} now", "label": "line"}])
    with pytest.raises(LeakError, match=r"seeds seeds\.jsonl:13 .*copies holdout\.jsonl:49 .*nearly the same words"):
        checked(site, monkeypatch, samples(3))
