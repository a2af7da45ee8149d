"""The steps that touch the pool: what a round draws, what people keep out of it, and what it leaves behind."""

from pathlib import Path

import pytest
from wheelwork.core.artifacts import Artifact, ArtifactStore
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.models.encoder import Encode
from wheelwork.core.pool.replay import Replay
from wheelwork.core.pool.store import Pool
from wheelwork.core.quality.duplicates import ExactDuplicates
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.quality.thresholds import Calibration, write_calibration
from wheelwork.core.rounds import Replayed, Round, Sifted, Site
from wheelwork.core.samples import Sample
from wheelwork.tasks import sift
from wheelwork.tasks.pool import draw_replay, fill_pool
from wheelwork.tests.core.pool.rows import a_pool, conclude, sample, samples
from wheelwork.tests.e2e.command import tiny_loop, write_config
from wheelwork.tests.fakes import FakeEncoder
from wheelwork.tests.tiny import tiny_bert


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
    done = filtered(site, rows, funnel, excluded=excluded)
    reasons = {reason: count for counted in done.counts for reason, count in counted.dropped.items()}
    return list(store.samples(done.kept)), list(store.samples(done.dropped)), reasons


def filtered(
    site: Site, rows: list[Sample], funnel: Funnel, *, excluded: tuple[str, ...] = (), pool: str | None = None
) -> Sifted:
    """The funnel's step, done at once."""
    return sift.filter_samples.fn(
        site,
        (ArtifactStore(site.artifacts).write_samples(rows),),
        funnel,
        excluded=excluded,
        seeds="",
        suites={},
        encoder="",
        review={},
        scoring={},
        champion=None,
        pool=pool,
    )


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


# what a round compares with


def test_a_round_may_compare_with_its_pool_and_says_which_suite_leaked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sift, "load_encoder", lambda loop: FakeEncoder())
    pool = a_pool(site.home, rows=6)
    held_out = load_loop(site.loop).suites["holdout"]
    rows = [*samples(2), sample("a message that nobody wrote before"), sample(held_out.items[3].prompt)]
    store = ArtifactStore(site.artifacts)

    def done(version: str | None, compare: bool) -> tuple[list[Sample], Sifted]:
        funnel = Funnel(filters=(ExactDuplicates(pool=compare),))
        found = filtered(site, rows, funnel, pool=version)
        return list(store.samples(found.dropped)), found

    dropped, found = done(str(pool.head()), True)
    assert [row.reject_reason for row in dropped] == ["copies_pool", "copies_pool", "held_out"]
    assert [row.controls["duplicate_of"] for row in dropped[:2]] == [row.id for row in rows[:2]]
    assert dropped[2].controls["duplicate_of"] == f"holdout.jsonl:{held_out.lines[3]}"
    assert found.counts[0].figures == {"held_out_holdout": 1}
    assert found.counts[0].notes == ("held_out: 1 of `holdout`.",)
    assert [row.reject_reason for row in done(None, False)[0]] == ["held_out"]


def test_auto_without_calibration_and_with_few_seeds_is_told_before_the_round(site: Site) -> None:
    write_config(site.loop, funnel={"filters": [{"kind": "embedding_duplicates"}]}, encoder="words")
    tiny_bert(site.loop / "words", ["line"])
    loop = load_loop(site.loop)
    with pytest.raises(ConfigError, match=r"loop.yaml: `embedding_duplicates`: .* from 50 seeds, and there are 12"):
        sift.calibration_of(loop, site.home)
    model = sift.encoder_of(loop).digest
    known = Calibration(encoder="words", model=model, source="p", threshold=0.5, pairs=(1, 1))
    write_calibration(site.home, known)
    assert sift.calibration_of(loop, site.home) == known.digest


def test_a_round_refuses_to_remember_in_a_file(site: Site) -> None:
    write_config(site.loop, funnel={"filters": [{"kind": "bloom", "file": "seen.bloom"}]})
    with pytest.raises(ConfigError, match=r"`bloom`, which is for files .* write `pool: true`"):
        load_loop(site.loop)
