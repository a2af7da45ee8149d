"""What the scorers of a loop need besides replies: teachers and models, found before and opened when needed."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..prompts import load_template
from ..quality.review.asking import TASK as REVIEW
from ..quality.review.opening import Opened as OpenedReview
from ..quality.review.opening import Progress, Reviewed, open_roles, teachers_by_role
from ..quality.scores.models import Models
from ..quality.scores.opening import models_of
from ..teachers import Role
from ..teaching import Resolve
from .scorers import Opened
from .suites import Suite

if TYPE_CHECKING:
    from ..loops import Loop


class Scoring(NamedTuple):
    """What was opened for some suites; each suite gets its own `Opened`, so that its notes are its own."""

    loop: "Loop"
    review: OpenedReview
    models: Models  # each loaded once for all suites

    def opened(self, rival: Sequence[str] | None) -> Opened:
        """For one suite of one model; `rival` are the replies of the model to beat, as many as there are answers."""
        return Opened(
            models=self.models,
            review=self.review.review,
            passages={name: passage.text for name, passage in self.loop.material.passages.items()},
            rival=rival,
            folder=self.loop.folder,
        )

    @property
    def reviewed(self) -> Reviewed:
        return self.review.reviewed


def open_scoring(
    loop: "Loop", suites: Sequence[Suite], resolve: Resolve, cache: Path, stack: ExitStack, showing: Progress
) -> Scoring:
    """Start whom the scorers of `suites` ask, until `stack` closes. Raises TeacherError or ConfigError."""
    roles, models = roles_of(suites), models_of(loop, None)
    if not roles:
        return Scoring(loop, OpenedReview(None), models)
    judged = [loop.settings.model]
    return Scoring(loop, open_roles(loop, roles, lambda: judged, resolve, cache, stack, showing), models)


def roles_of(suites: Sequence[Suite]) -> list[Role]:
    """The roles of the teachers that the scorers of `suites` ask, each once."""
    return list(dict.fromkeys(role for suite in suites if (role := getattr(suite.settings.scorer, "role", None))))


def scoring_identity(loop: "Loop", resolve: Resolve) -> dict[str, Any]:
    """Names what the scores of the loop's suites depend on besides items and settings: models, teachers, templates.

    Raises ModelError or ConfigError for one that is not there, before anything is answered.
    """
    suites = list(loop.suites.values())
    models = models_of(loop, None)
    scored_by = {name for suite in suites for name in getattr(suite.settings.scorer, "scored_by", ())}
    templates = {name for suite in suites if (name := getattr(suite.settings.scorer, "template", None))}
    language, overrides = loop.settings.language, loop.folder / "prompts"
    by_role = teachers_by_role(loop, roles_of(suites), resolve)
    return {
        **{f"model {name}": models.find(name).digest for name in sorted(scored_by)},
        **{f"prompt {name}": load_template(REVIEW, name, language, overrides).digest for name in sorted(templates)},
        **{role: teachers.fingerprints() for role, teachers in by_role.items()},
    }
