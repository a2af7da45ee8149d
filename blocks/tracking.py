"""The connection to MLflow: a run per round under a run per loop. Adapters are in `registry.py`."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from ..core.digests import canonical_json
from ..core.errors import DependencyError

LONGEST_PARAMETER = 6000  # MLflow cuts silently beyond
# prints the traceback of what it raises; `explained` tells it in a sentence
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
LOOKED_AT = "wheelwork.looked_at"  # of a run: suite → digest, as JSON


class Tracking:
    """One loop in MLflow: its experiment carries the loop's name.

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

    def run_of(self, kind: str) -> str:
        """Id of the one run of its kind that the loop has, beside those of rounds; made where there is none."""
        with explained():
            for run in self._runs(f"tags.`wheelwork.kind` = '{kind}'"):
                return str(run.info.run_id)
            tags = {MLFLOW_PARENT_RUN_ID: self._parent_run(), "wheelwork.kind": kind}
            return str(self._client.create_run(self.experiment, run_name=kind, tags=tags).info.run_id)

    def log_changed(self, run_id: str, curves: Mapping[str, Mapping[int, float]]) -> int:
        """Metrics by step, of each step only a value that is another than the last one there; how many were written."""
        points = list[tuple[str, float, int]]()
        with explained():
            for name, values in curves.items():
                history = sorted(self._client.get_metric_history(run_id, name), key=lambda point: point.timestamp)
                known = {point.step: point.value for point in history}
                points += [(name, value, step) for step, value in values.items() if known.get(step) != value]
        self.log_points(run_id, points)
        return len(points)

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
