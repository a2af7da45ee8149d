"""The scores of a round read and judged: by the gate, and by the ledger as it was when the round was opened."""

from ..core.artifacts import ArtifactStore
from ..core.evaluation.gate import Decision, decide
from ..core.evaluation.scores import SuiteScores
from ..core.ledger.judging import with_ledger
from ..core.ledger.suites import is_ledger
from ..core.ledger.told import LedgerTold
from ..core.loops import Loop
from ..core.rounds import Results, Round
from .benchmark import BASE, CANDIDATE, CHAMPION
from .ledger import judged, suites_of


def judge(round_: Round, loop: Loop, results: Results, look: int) -> tuple[Decision, LedgerTold]:
    """The verdict at this `look` at the targets, and what the report tells of the ledger."""
    store, settings = ArtifactStore(round_.site.artifacts), loop.settings
    scores = []
    for name, answers in results.suites.items():
        if is_ledger(name):
            continue
        suite = loop.suites[name]
        by_model = {model: tuple(store.read_json(artifact)) for model, artifact in answers.scores.items()}
        scores.append(
            SuiteScores(
                name=name,
                role=suite.settings.role,
                digest=suite.digest,
                ids=tuple(item.id for item in suite.items),
                groups=tuple(item.cluster for item in suite.items),
                base=by_model[BASE],
                champion=by_model.get(CHAMPION),
                candidate=by_model[CANDIDATE],
                margin=suite.settings.margin,
                slices=tuple(item.slice for item in suite.items),
                floor=suite.settings.floor,
                digests=dict.fromkeys(by_model, answers.digest) if answers.digest else {},
            )
        )
    parts = suites_of(round_.site, loop.name, round_.ledger.items)
    ruling, told = judged(round_.site, round_.ledger, parts, results, settings.ledger, settings.gate, round_.seed)
    return with_ledger(decide(scores, settings.gate, look, seed=round_.seed), ruling), told
