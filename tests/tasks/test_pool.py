"""The steps that touch the pool: what a round draws, what people keep out of it, and what it leaves behind."""

from pathlib import Path

import pytest
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.errors import DataError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.encoder import Encode
from wheelwork.core.pool.replay import Replay
from wheelwork.core.pool.store import Pool
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.rounds import Replayed, Round, Site
from wheelwork.core.samples import Sample
from wheelwork.tasks import sift
from wheelwork.tasks.pool import draw_replay, fill_pool
from wheelwork.tests.core.pool.rows import a_pool, conclude, sample, samples
from wheelwork.tests.e2e.command import tiny_loop
from wheelwork.tests.fakes import FakeEncoder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(loop=tiny_loop(tmp_path / "loop", models=False), home=tmp_path / "home")


def fresh(site: Site, count: int = 60) -> Artifact:
    return ArtifactStore(site.artifacts).write_samples(samples(count, start=500))


def replayed(site: Site, pool: str, excluded: tuple[str, ...] = ()) -> Replayed:
    drawn: Replayed = draw_replay.fn(
        site,
        pool=pool,
        fresh=fresh(site),
        replay=Replay(),
        funnel=Funnel(),
        excluded=excluded,
        seeds="",
        suites={},
        prompts="",
        seed=0,
    )
    return drawn


def test_what_is_drawn_is_written_and_named(site: Site) -> None:
    pool = a_pool(site.home, rows=60)
    drawn = replayed(site, str(pool.head()))
    rows = list(ArtifactStore(site.artifacts).samples(drawn.samples))
    assert tuple(row.id for row in rows) == drawn.ids and drawn.samples.rows == 11
    assert drawn.samples == replayed(site, str(pool.head())).samples
    assert drawn.ids[0] not in replayed(site, str(pool.head()), drawn.ids[:1]).ids


@pytest.mark.parametrize(("verdict", "accepted", "marked"), [("promoted", 60, 0), ("rejected", 0, 60)])
def test_a_round_fills_the_pool_by_its_verdict_and_only_once(
    site: Site, verdict: str, accepted: int, marked: int
) -> None:
    round_ = Round(
        site=site,
        loop="tiny",
        id="0000-abcdef01",
        seed=0,
        samples=90,
        champion=None,
        run_id="r",
        pool=None,
        excluded=(),
    )
    kept, funnel = fresh(site), {"generated": 90, "kept": 60, "dropped": {}, "waves": 1}
    first, again = (fill_pool.fn(site, round_, funnel, kept, kept, (), verdict) for _ in range(2))
    assert first == again and (first.accepted, first.marked) == (accepted, marked)
    (told,) = Pool(site.home, "tiny").view(first.version).rounds
    assert (told.asked, told.verdict, told.funnel) == (90, verdict, funnel)


# what people keep out


def sifted(
    site: Site, rows: list[Sample], excluded: tuple[str, ...], funnel: Funnel, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Sample], list[Sample], dict[str, int]]:
    def encoder(loop: Loop) -> Encode:
        return FakeEncoder()

    monkeypatch.setattr(sift, "load_encoder", encoder)
    store = ArtifactStore(site.artifacts)
    done = sift.filter_samples.fn(
        site,
        (store.write_samples(rows),),
        funnel,
        excluded=excluded,
        seeds="",
        suites={},
        encoder="",
        review={},
        scoring={},
        champion=None,
    )
    reasons = {reason: count for counted in done.counts for reason, count in counted.dropped.items()}
    return list(store.samples(done.kept)), list(store.samples(done.dropped)), reasons


ONLY_RULES = Funnel(filters=(Rules(min_words=1),))


def test_an_excluded_sample_is_dropped_when_it_is_written_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = samples(4)
    kept, dropped, reasons = sifted(site, rows, (rows[1].id,), ONLY_RULES, monkeypatch)
    assert kept == [rows[0], *rows[2:]] and reasons == {"excluded": 1}
    assert [(row.id, row.reject_reason) for row in dropped] == [(rows[1].id, "excluded")]


def test_without_exclusions_nothing_is_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sifted(site, samples(4), (), ONLY_RULES, monkeypatch)[2] == {}


def test_an_excluded_sample_displaces_no_duplicate_of_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first, twin = sample("the red modem is dead", "wifi"), sample("The red modem is dead!", "line")
    kept, _, reasons = sifted(site, [first, twin], (first.id,), Funnel(filters=Funnel().filters[:2]), monkeypatch)
    assert kept == [twin] and reasons == {"excluded": 1}


def test_a_sample_that_a_filter_changes_is_told_by_the_id_it_gets(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    masking = Funnel(filters=(PersonalData(action="mask"),))
    row = sample("write to jo@example.org about the modem")
    ((masked,), _, _) = sifted(site, [row], (), masking, monkeypatch)
    assert masked.id != row.id
    kept, dropped, reasons = sifted(site, [row], (masked.id,), masking, monkeypatch)
    assert kept == [] and reasons == {"excluded": 1} and dropped[0].id == masked.id


def test_an_excluded_seed_is_neither_trained_on_nor_shown(site: Site) -> None:
    whole = load_loop(site.loop)
    gone = whole.material.seed_samples()[1].id
    less = load_loop(site.loop, excluded=(gone, "0" * 16))
    assert len(less.seeds) == len(whole.seeds) - 1 and less.material.left_out == (gone,)
    assert gone not in {seed.id for seed in less.material.seed_samples()}
    assert less.digest != whole.digest and load_loop(site.loop, excluded=("0" * 16,)).digest == whole.digest


def test_a_replayed_sample_may_say_what_an_excluded_seed_said(site: Site) -> None:
    seed = load_loop(site.loop).material.seed_samples()[1]
    pool = Pool(site.home, "tiny")
    conclude(pool, 0, [sample(f"{seed.prompt}.", "wifi")])
    assert replayed(site, str(pool.head())).passed_over == {"said_already": 1}
    assert replayed(site, str(pool.head()), (seed.id,)).samples.rows == 1


def test_a_label_whose_seeds_are_all_excluded_is_told(site: Site) -> None:
    lines = [seed.id for seed in load_loop(site.loop).material.seed_samples() if seed.label == "line"]
    with pytest.raises(
        DataError, match=r"seeds.jsonl: no seed for the label `line` that is not excluded from the pool \(4 are\)"
    ):
        load_loop(site.loop, excluded=lines)
