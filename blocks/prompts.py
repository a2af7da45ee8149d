"""MLflow's prompt registry: a version for each wording, found by its digest."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import PromptVersion

from ..core.prompts import Template
from .tracking import explained

DIGEST = "wheelwork.digest"


def register_prompt(loop: str, template: Template, run_id: str) -> str:
    """Version of `template` in the registry, the one that has its digest or a new one; linked to the round's run.

    Its name there is `<loop>.<task>.<template>`. Raises DependencyError when MLflow does not answer.
    """
    client, head = MlflowClient(), template.head
    name = f"{loop}.{head.task}.{head.name}"
    with explained():
        version = _known(client, name, template.digest) or client.register_prompt(
            name,
            [{"role": role, "content": text} for role, text in template.turns],
            commit_message=head.purpose,
            tags={DIGEST: template.digest, "language": head.language},
        )
        client.link_prompt_version_to_run(run_id, version)
        return str(version.version)


def _known(client: MlflowClient, name: str, digest: str) -> PromptVersion | None:
    if client.get_prompt(name) is None:
        return None
    versions = client.search_prompt_versions(name)
    return next((version for version in versions if version.tags.get(DIGEST) == digest), None)
