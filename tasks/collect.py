"""From traffic to material, one effect each; `core/traffic` says what is made of what."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact

from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.attribution.journal import Journal
from ..core.loops import Loop, load_loop
from ..core.models.encoder import Encode
from ..core.naming import find_loop
from ..core.people.traffic import model_of
from ..core.pool.store import Pool
from ..core.rounds import Site
from ..core.rows import read_rows, write_rows
from ..core.traffic.archive import Archive, Intent, Mark
from ..core.traffic.disliked import (
    NAMED,
    answered_for,
    attribution_of,
    joined,
    last_of_a_round,
    rated,
)
from ..core.traffic.figures import curves, figures
from ..core.traffic.intents import MERGED, Asked, by_cluster, by_encoder, by_users, unreadable
from ..core.traffic.preferences import SCHEMA, merged, pairs_in, pairs_path
from ..core.traffic.reaching import reached
from ..core.traffic.retention import DAY, prune
from ..core.traffic.said import question_of
from ..core.traffic.settings import TrafficSettings
from ..core.traffic.told import CORRECTIONS, Collected, Part, added_up
from ..core.workspace import home, locked
from .events import announce
from .sift import load_encoder
from .steps import RETRIED, recorded

AT_ONCE = 500  # questions that are embedded together
MOST = 5000  # that one collection labels: the next one goes on


@contextmanager
def opened_traffic(ref: str) -> Iterator[Site]:
    """The loop that `ref` names, held against another collection. Raises BusyError, and what `load_loop` raises."""
    loop = load_loop(find_loop(ref))
    busy = f"the traffic of `{loop.name}` is being collected already; wait for it"
    with locked(home() / "locks" / f"{loop.name}.collect.lock", busy):
        yield Site(loop=loop.folder, home=home())


@task(**recorded("label_intents"), **RETRIED)
def label_intents(site: Site) -> Part:
    """Say what each new question wanted, and what users have said of older ones since."""
    with _opened(site) as (loop, archive, settings):
        labels, labelled = list(loop.labels), 0
        if labels:
            voiced = list(archive.voiced(loop.name, time.time() - settings.collect.days * DAY))
            known = archive.intents_of([one.exchange.id for one in voiced])
            told = filter(None, (by_users(one, labels) for one in voiced))
            changed = [one for one in told if one != known.get(one.exchange)]
            archive.label(changed)
            labelled += len(changed)
        embed: Encode | None = None
        while labelled < MOST and (waiting := archive.unlabelled(loop.name, AT_ONCE)):
            questions = [(one, question_of(one, loop.material.passages)) for one in waiting]
            asked = [Asked(one, question.text) for one, question in questions if question is not None]
            found = [unreadable(one) for one, question in questions if question is None]
            if asked:
                embed = embed or load_encoder(loop)
                found += _of(asked, loop, archive, site, settings, embed)
                labelled += len(asked)
            archive.label(found)
        return Part(figures={"questions labelled": labelled})


@task(**recorded("plan_for_disliked"), **RETRIED)
def plan_for_disliked(site: Site) -> Part:
    """Ask the next round for more of what users disliked, in the form in which rounds tell what they lack."""
    with _opened(site) as (loop, archive, settings):
        journal = Journal(site.home, loop.name)
        entries = journal.entries()
        read = answered_for(entries, journal.attribution)
        since = time.time() - settings.collect.days * DAY
        voiced = [one for one in archive.voiced(loop.name, since) if one.exchange.id not in read]
        intents = archive.intents_of([one.exchange.id for one in voiced])
        categories = _categories(loop, {one.label for one in intents.values() if one.label})
        disliked = attribution_of(rated(voiced, intents, categories), settings.collect.disliked)
        if disliked is None:
            return Part()
        last = last_of_a_round(entries)
        whole = joined(journal.attribution(last) if last else None, disliked)
        written = ArtifactStore(site.artifacts).write_json(whole.model_dump(mode="json"))
        if entries and entries[-1].attribution == written.digest:
            return Part()
        journal.record(f"{NAMED}{written.digest[:8]}", written.digest, None)
        notes = [
            f"Disliked: {group.failing} answers of `{group.name}`; {group.remedies[0].said}."
            for group in disliked.groups
        ]
        if not loop.settings.generate.follow:
            notes.append("No round reads this while `generate.follow` is 0; set a share, such as 0.3.")
        return Part(figures={"groups of disliked answers": len(disliked.groups)}, notes=tuple(notes))


@task(**recorded("keep_pairs"), **RETRIED)
def keep_pairs(site: Site) -> Part:
    """Add what users preferred to the loop's file of pairs."""
    with _opened(site) as (loop, archive, settings):
        since = time.time() - settings.collect.days * DAY
        pairs = pairs_in(
            archive.voiced(loop.name, since), list(loop.labels), loop.material.passages, loop.present.leaks
        )
        path = pairs_path(site.home, loop.name)
        before = [row for _, row in read_rows(path)] if path.exists() else []
        after = merged(before, pairs)
        if len(after) == len(before):
            return Part()
        write_rows(path, after, SCHEMA)
        return Part(
            figures={"pairs of answers": len(after) - len(before)},
            notes=(f"{path}: {len(after)} pairs. wheelwork review preference {path} --out HEAD learns from them.",),
        )


@task(**recorded("log_figures"), **RETRIED)
def log_figures(site: Site) -> Part:
    """Show in MLflow how users take each version, day by day, in the loop's run `traffic`."""
    with _opened(site) as (loop, archive, settings):
        # from midnight on, so that the first day is a whole one
        since = (time.time() // DAY - settings.collect.days) * DAY
        rows = figures(archive, loop.name, since, settings.collect.sure)
        if rows:
            tracking = Tracking(loop.name, site.home)
            tracking.log_changed(tracking.run_of("traffic"), curves(rows))
        return Part()


@task(**recorded("conclude_collection"), **RETRIED)
def concluded(site: Site, parts: tuple[Part, ...]) -> Collected:
    """Say on the page what came of it, remember when it was, and delete what is too old."""
    with _opened(site) as (loop, archive, settings):
        collected = added_up(loop.name, parts)
        now = time.time()
        archive.mark(loop.name, [Mark("collection", "last", collected.sentences[0])], now)
        gone = prune(archive, loop.name, settings, now)
        if gone:
            collected = collected.model_copy(
                update={"figures": {**collected.figures, "exchanges deleted, as `serve.traffic` says": gone}}
            )
        if taken := collected.figures.get(CORRECTIONS, 0):
            announce("corrections.collected", site, loop.name, f"{now}", corrections=taken)
        key = f"{loop.name.lower().replace('_', '-')}-traffic"
        create_markdown_artifact(collected.markdown, key=key, description=collected.sentences[0][:200])
        return collected


@contextmanager
def _opened(site: Site) -> Iterator[tuple[Loop, Archive, TrafficSettings]]:
    loop = load_loop(site.loop)
    with reached(site.home) as archive:
        yield loop, archive, loop.settings.serve.traffic


def _of(
    asked: Sequence[Asked], loop: Loop, archive: Archive, site: Site, settings: TrafficSettings, embed: Encode
) -> list[Intent]:
    vectors = embed([one.text for one in asked])
    if loop.labels:
        pool = Pool(site.home, loop.name)
        model = model_of(loop, pool.view(pool.head()), pool, embed)
        return by_encoder(asked, model.probabilities(vectors), model.labels)
    names = archive.clusters(loop.name, MERGED)
    centres = embed(names) if names else np.zeros((0, vectors.shape[1]), dtype=np.float32)
    return by_cluster(asked, vectors, names, centres, settings.collect.alike)


def _categories(loop: Loop, intents: set[str]) -> Mapping[str, str]:
    """The category of the plan for each intent: its label, the only one, or the one whose seeds lie nearest."""
    known = list(loop.material.categories)
    if loop.labels:
        return {intent: intent for intent in intents if intent in known}
    categories = sorted({seed.category for seed in loop.seeds} & set(known))
    if not intents or not (categories or len(known) == 1):
        return {}
    if len(categories) < 2:
        return dict.fromkeys(intents, categories[0] if categories else known[0])
    names, embed = sorted(intents), load_encoder(loop)
    seeds = [seed for seed in loop.seeds if seed.category in categories]
    rows = embed([seed.text for seed in seeds])
    means = np.stack([rows[[one.category == name for one in seeds]].mean(axis=0) for name in categories])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (embed(names) @ means.T).argmax(axis=1)
    return {name: categories[at] for name, at in zip(names, nearest.tolist(), strict=True)}
