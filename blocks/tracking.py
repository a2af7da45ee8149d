"""The connection to MLflow: a run per round under a run per loop, adapters as registry versions with aliases."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from ..core.digests import canonical_json
from ..core.errors import DependencyError
from ..core.rounds import Champion

LONGEST_PARAMETER = 6000  # MLflow cuts silently beyond
CANDIDATE, CHAMPION = "candidate", "champion"
LOOKED_AT = "wheelwork.looked_at"  # of a run: suite → digest, as JSON


class Release(NamedTuple):
    """An adapter in the registry, and what of its round is told with it."""

    adapter: Champion
    base: str  # digest of the model that it is an update of
    verdict: str
    asked: str | None  # samples that its round asked for, as MLflow keeps parameters
    report: str | None  # JSON


class Tracking:
    """One loop in MLflow: experiment and registered model both carry the loop's name.

    Runs are found by tag and addressed by id, so that retries, threads and resumed rounds never make a second one.
    Every method raises DependencyError when MLflow does not answer.
    """

    def __init__(self, loop: str, home: Path) -> None:
        self.loop = loop
        self._home = home
        with explained():
            # no address of its own: MLflow resolves models:/ by MLFLOW_TRACKING_URI, whatever a client was given
            self._client = MlflowClient()
            self.experiment = self._experiment_id()

    @property
    def uri(self) -> str:
        return str(self._client.tracking_uri)

    def open_run(self, round_id: str, tags: Mapping[str, str]) -> str:
        """Id of the round's run: the one that was left unfinished under this round's id, or a new one."""
        with explained():
            for run in self._runs(f"tags.`wheelwork.round` = '{round_id}'"):
                if run.info.status == "RUNNING":
                    return str(run.info.run_id)
            run = self._client.create_run(
                self.experiment,
                run_name=round_id,
                tags={
                    MLFLOW_PARENT_RUN_ID: self._parent_run(),
                    "wheelwork.kind": "round",
                    "wheelwork.round": round_id,
                    **tags,
                },
            )
            return str(run.info.run_id)

    def rounds(self) -> int:
        """How many rounds of the loop have ended: a seed that none of them had, when seeds are counted up."""
        with explained():
            return sum(1 for _ in self._runs("tags.`wheelwork.kind` = 'round' and attributes.status = 'FINISHED'"))

    def looks(self, suites: str, except_adapter: str) -> int:
        """How many other adapters were judged against the suites of this digest."""
        with explained():
            judged = {
                run.data.tags.get("wheelwork.adapter", "")
                for run in self._runs(f"tags.`wheelwork.suites` = '{suites}' and attributes.status = 'FINISHED'")
            }
        return len(judged - {except_adapter, ""})

    def looks_at(self, digest: str, except_adapter: str = "") -> int:
        """How many other adapters were judged while this suite was among those that were looked at."""
        with explained():
            where = f"tags.`{LOOKED_AT}` LIKE '%{digest}%' and attributes.status = 'FINISHED'"
            judged = {run.data.tags.get("wheelwork.adapter", "") for run in self._runs(where)}
        return len(judged - {except_adapter, ""})

    def looked_at_last(self) -> dict[str, str]:
        """Suite → digest of the last round that ended with a judgement; empty where there is none."""
        with explained():
            for run in self._runs("tags.`wheelwork.kind` = 'round' and attributes.status = 'FINISHED'"):
                if LOOKED_AT in run.data.tags and run.data.tags.get("wheelwork.adapter"):
                    found: dict[str, str] = json.loads(run.data.tags[LOOKED_AT])
                    return found
        return {}

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        curve: Mapping[str, Mapping[int, float]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Parameters (nested ones as dotted names), metrics, metrics by step and tags, in one batch each.

        Of a metric by step only the steps that the run lacks are written: others may have been live.
        """
        now = int(time.time() * 1000)
        points = [Metric(name, value, now, 0) for name, value in (metrics or {}).items()]
        for name, values in (curve or {}).items():
            known = self.steps_of(run_id, name)
            points += [Metric(name, value, now, step) for step, value in values.items() if step not in known]
        flat = [Param(name, text[:LONGEST_PARAMETER]) for name, text in flattened(params or {})]
        with explained():
            self._log_metrics(run_id, points)
            for start in range(0, len(flat), 100):
                self._client.log_batch(run_id, params=flat[start : start + 100])
            self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in (tags or {}).items()])

    def log_points(self, run_id: str, points: Sequence[tuple[str, float, int]]) -> None:
        """Metrics as name, value and step, as of now."""
        now = int(time.time() * 1000)
        with explained():
            self._log_metrics(run_id, [Metric(name, value, now, step) for name, value, step in points])

    def steps_of(self, run_id: str, name: str) -> set[int]:
        """The steps of a metric that the run has."""
        with explained():
            return {point.step for point in self._client.get_metric_history(run_id, name)}

    def _log_metrics(self, run_id: str, points: Sequence[Metric]) -> None:
        for start in range(0, len(points), 1000):  # MLflow's limit for one batch
            self._client.log_batch(run_id, metrics=points[start : start + 1000])

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], name: str) -> None:
        """`rows` under `columns` as the table `name` of the run, written anew; what a row lacks is null."""
        table = {"columns": list(columns), "data": [[row.get(column) for column in columns] for row in rows]}
        with explained():
            self._client.log_text(run_id, json.dumps(table, ensure_ascii=False), name)
            # what MLflow's log_table does as well, but that appends when a round is resumed
            tag = json.dumps([{"path": name, "type": "table"}])
            known = self._client.get_run(run_id).data.tags.get("mlflow.loggedArtifacts", "[]")
            if name not in known:
                both = json.dumps(json.loads(known) + json.loads(tag))
                self._client.set_tag(run_id, "mlflow.loggedArtifacts", both)

    def log_text(self, run_id: str, text: str, name: str) -> None:
        with explained():
            self._client.log_text(run_id, text, name)

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        with explained():
            self._client.set_terminated(run_id, status)

    def register(self, run_id: str, adapter: Path, digest: str, tags: Mapping[str, str]) -> str:
        """The registry version of an adapter: the one with this digest, or a new one made from the folder.

        The adapter becomes a LoggedModel of the round's run; the base model is never copied.
        """
        with explained():
            self._ensure_model()
            for version in self._client.search_model_versions(f"name = '{self.loop}'"):
                if version.tags.get("adapter_digest") == digest:
                    return str(version.version)
            model = self._client.create_logged_model(
                self.experiment, name="adapter", source_run_id=run_id, model_type="lora", tags=dict(tags)
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

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        with explained():
            for name, value in tags.items():
                self._client.set_model_version_tag(self.loop, version, name, value)

    def point(self, alias: str, version: str) -> None:
        """Move an alias; one step in the registry, so there is never none or two."""
        with explained():
            self._client.set_registered_model_alias(self.loop, alias, version)

    def champion(self) -> Champion | None:
        """The adapter in production, on this machine's disk; None before the first promotion."""
        with explained():
            version = self._by_alias(CHAMPION)
            return None if version is None else self._fetched(version)

    def champion_before(self, version: str) -> Champion | None:
        """The adapter that was in production when `version` was promoted; None if it was the first."""
        with explained():
            previous = self._client.get_model_version(self.loop, version).tags.get("previous_champion")
            return self._fetched(self._client.get_model_version(self.loop, previous)) if previous else None

    def champion_before_run(self, run_id: str) -> Champion | None:
        """The adapter that is in production, or was when the run `run_id` promoted its own."""
        with explained():
            version = self._by_alias(CHAMPION)
            if version is None or version.run_id != run_id:
                return None if version is None else self._fetched(version)
        return self.champion_before(str(version.version))

    def release(self, which: str) -> "Release | None":
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
            )

    def _text_of(self, run_id: str, name: str) -> str | None:
        """An artifact of a run as text; None where a round was killed before it wrote it."""
        if not any(file.path == name for file in self._client.list_artifacts(run_id)):
            return None
        uri = self._client.get_run(run_id).info.artifact_uri
        return download(f"{uri}/{name}", str(self._client.tracking_uri)).read_text(encoding="utf-8")

    def _by_number(self, version: str) -> ModelVersion | None:
        try:
            return self._client.get_model_version(self.loop, version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _fetched(self, version: ModelVersion) -> Champion:
        path = download(f"models:/{self.loop}/{version.version}", str(self._client.tracking_uri))
        return Champion(version=str(version.version), digest=version.tags["adapter_digest"], folder=path)

    def _by_alias(self, alias: str) -> ModelVersion | None:
        try:
            return self._client.get_model_version_by_alias(self.loop, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _ensure_model(self) -> None:
        try:
            self._client.create_registered_model(self.loop)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment_id(self) -> str:
        known = self._client.get_experiment_by_name(self.loop)
        if known is not None:
            return str(known.experiment_id)
        local = str(self._client.tracking_uri).startswith("sqlite:")
        location = (self._home / "artifacts" / "mlflow" / self.loop).as_uri() if local else None
        return str(self._client.create_experiment(self.loop, artifact_location=location))

    def _parent_run(self) -> str:
        for run in self._runs("tags.`wheelwork.kind` = 'loop'"):
            return str(run.info.run_id)
        tags = {"wheelwork.kind": "loop"}
        return str(self._client.create_run(self.experiment, run_name=self.loop, tags=tags).info.run_id)

    def _runs(self, where: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs([self.experiment], where, max_results=500, page_token=token)
            yield from page
            if not (token := page.token):
                return


def download(uri: str, tracking_uri: str) -> Path:
    """The folder that an artifact URI names; local artifacts are not copied."""
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=uri, tracking_uri=tracking_uri))


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and short texts, as MLflow's parameters want them."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", canonical_json(list(value))
        else:
            yield f"{prefix}{name}", str(value)


@contextmanager
def explained() -> Iterator[None]:
    """MLflow's errors as one sentence; a missing server or a locked database can be tried again."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DependencyError(
            f"MLflow did not do as asked ({first[:200]}); check it, then run the command again"
        ) from (error)
