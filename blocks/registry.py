"""The registered model of a loop in MLflow: versions that are adapters, aliases, tags."""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from ..core.registry.champion import Champion
from ..core.registry.fingerprint import Fingerprint, recorded_in
from ..core.registry.journal import CANDIDATE, CHAMPION, Who
from ..core.registry.moves import Moves
from ..core.registry.record import Version
from ..core.workspace import user_name
from .tracking import download, explained

ROUND = "round"  # tag of a version: the round that made it
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
R = TypeVar("R")


class Release(NamedTuple):
    """An adapter in the registry, and what of its round is told with it."""

    adapter: Champion
    base: str  # digest of the model that it is an update of
    verdict: str
    asked: str | None  # samples that its round asked for, as MLflow keeps parameters
    report: str | None  # JSON
    measured: Fingerprint | None  # what answered when it was measured


class ModelRegistry:
    """One loop's registered model, which carries the loop's name; `core.registry` says what is done with it.

    Every method raises DependencyError when MLflow does not answer.
    """

    def __init__(self, loop: str) -> None:
        self.loop = loop
        with explained():
            # no address of its own: MLflow resolves models:/ by MLFLOW_TRACKING_URI, whatever a client was given
            self._client = MlflowClient()

    # what moves need

    def aliases(self) -> dict[str, str]:
        """Alias → version."""
        model = self._model()
        return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def tags(self) -> dict[str, str]:
        """The tags of the registered model itself."""
        model = self._model()
        return dict(model.tags) if model else {}

    def tag(self, name: str, value: str | None) -> None:
        """Set a tag of the registered model, which is made if need be; None takes it away."""
        with explained():
            if value is None:
                self._client.delete_registered_model_tag(self.loop, name)
                return
            if self._model() is None:
                self._ensure_model()
            self._client.set_registered_model_tag(self.loop, name, value)

    def point(self, alias: str, version: str | None) -> None:
        """Move an alias, or take it away; one step in the registry, so that there is never none or two."""
        with explained():
            if version is None:
                self._client.delete_registered_model_alias(self.loop, alias)
            else:
                self._client.set_registered_model_alias(self.loop, alias, version)

    def version(self, version: str) -> Version | None:
        """None where there is none of this number."""
        with explained():
            if (found := self._by_number(version)) is None:
                return None
            run = str(found.run_id or "")
            return Version(dict(found.tags), run, found.tags.get(ROUND) or self._round_of(run))

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        with explained():
            for name, value in tags.items():
                self._client.set_model_version_tag(self.loop, version, name, value)

    # adapters

    def register(self, run_id: str, adapter: Path, digest: str, tags: Mapping[str, str]) -> str:
        """The registry version of an adapter: the one with this digest, or a new one made from the folder.

        The adapter becomes a LoggedModel of the round's run; the base model is never copied.
        """
        with explained():
            self._ensure_model()
            for version in self._client.search_model_versions(f"name = '{self.loop}'"):
                if version.tags.get("adapter_digest") == digest:
                    return str(version.version)
            experiment = self._client.get_run(run_id).info.experiment_id
            model = self._client.create_logged_model(
                experiment, name="adapter", source_run_id=run_id, model_type="lora", tags=dict(tags)
            )
            self._client.log_model_artifacts(model.model_id, str(adapter))
            self._client.finalize_logged_model(model.model_id, "READY")
            made = self._client.create_model_version(
                self.loop,
                source=f"models:/{model.model_id}",
                run_id=run_id,
                tags={**tags, "adapter_digest": digest},
                model_id=model.model_id,
            )
            return str(made.version)

    def adapter(self, version: str) -> Champion:
        """The adapter of a version, on this machine's disk."""
        with explained():
            return self._fetched(self._client.get_model_version(self.loop, version))

    def champion(self) -> Champion | None:
        """The adapter in production, on this machine's disk; None before the first promotion."""
        with explained():
            version = self._by_alias(CHAMPION)
            return None if version is None else self._fetched(version)

    def release(self, which: str) -> Release | None:
        """What the registry knows of the adapter behind an alias or a version number; None where there is none."""
        with explained():
            version = self._by_alias(which) if which in (CANDIDATE, CHAMPION) else self._by_number(which)
            if version is None:
                return None
            run_id = str(version.run_id)
            run = self._client.get_run(run_id)
            return Release(
                self._fetched(version),
                base=version.tags.get("base_digest", ""),
                verdict=version.tags.get("verdict", ""),
                asked=run.data.params.get("samples"),
                report=self._text_of(run_id, "report.json"),
                measured=recorded_in(version.tags),
            )

    def _text_of(self, run_id: str, name: str) -> str | None:
        """An artifact of a run as text; None where a round was killed before it wrote it."""
        if not any(file.path == name for file in self._client.list_artifacts(run_id)):
            return None
        uri = self._client.get_run(run_id).info.artifact_uri
        return download(f"{uri}/{name}", str(self._client.tracking_uri)).read_text(encoding="utf-8")

    def _round_of(self, run_id: str) -> str:
        """The round of a run, where a version does not tell it itself."""
        run = _unless_absent(lambda: self._client.get_run(run_id)) if run_id else None
        return str(run.data.tags.get("wheelwork.round", "")) if run else ""

    def _model(self) -> RegisteredModel | None:
        with explained():
            return _unless_absent(lambda: self._client.get_registered_model(self.loop))

    def _by_number(self, version: str) -> ModelVersion | None:
        return _unless_absent(lambda: self._client.get_model_version(self.loop, version))

    def _by_alias(self, alias: str) -> ModelVersion | None:
        return _unless_absent(lambda: self._client.get_model_version_by_alias(self.loop, alias))

    def _fetched(self, version: ModelVersion) -> Champion:
        path = download(f"models:/{self.loop}/{version.version}", str(self._client.tracking_uri))
        return Champion(version=str(version.version), digest=version.tags["adapter_digest"], folder=path)

    def _ensure_model(self) -> None:
        try:
            self._client.create_registered_model(self.loop)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def moves_of(loop: str, home: Path, run: str = "") -> Moves:
    """The moves of a loop's aliases as the present user makes them, within the flow run `run` if there is one."""
    return Moves(loop, ModelRegistry(loop), home, here(run))


def here(run: str = "") -> Who:
    """The present user on this machine."""
    return Who(user=user_name(), host=platform.node() or "somewhere", run=run)


def _unless_absent(ask: Callable[[], R]) -> R | None:
    """What `ask` finds; None where MLflow says that there is no such thing."""
    try:
        return ask()
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise
