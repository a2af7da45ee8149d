"""The teachers of a loop, those among them too that are kept as Prefect blocks."""

from typing import Any

from ..blocks.teacher import resolve_block
from ..core.loops import Loop
from ..core.quality.review.opening import reviewers_of
from ..core.teachers import Role
from ..core.teaching import Teachers


def teachers_of(loop: Loop, role: Role = "writer") -> Teachers:
    """Who has this role in a loop."""
    return Teachers(loop.settings.teachers(role), loop.embedded, loop.engine_for, resolve_block)


def reviewers_identity(loop: Loop) -> dict[str, Any]:
    """Names all that the verdicts of judges and verifiers depend on; empty where no filter asks one.

    Raises ConfigError for a teacher whose key or block is not there, before any of them is needed.
    """
    reviewers = {role: teachers.fingerprints() for role, teachers in reviewers_of(loop, resolve_block).items()}
    if not reviewers:
        return {}
    prompts = {name: template.digest for name, template in loop.review_templates.items()}
    return {"reviewers": reviewers, "prompts": prompts, "knowledge": loop.material.prompt_digest}
