"""What the gateway counts, for Prometheus; a registry of its own, so that two gateways in a process do not mix."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..parts import Health, Served

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STATES = {"ok": 0, "degraded": 1, "down": 2}


class Figures:
    """Counters of the hot path; the children of each label are looked up once."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        told: dict[str, Any] = {"registry": self.registry}
        by = ["loop", "version", "role"]
        self._requests = Counter("wheelwork_requests", "Requests by route and status.", ["route", "status"], **told)
        self._answers = Counter("wheelwork_answers", "Answers by version.", [*by, "status"], **told)
        self._latency = Histogram(
            "wheelwork_answer_seconds", "From a request to the last byte of its answer.", by, buckets=BUCKETS, **told
        )
        self._first = Histogram(
            "wheelwork_first_token_seconds", "To the first piece of a streamed answer.", by, buckets=BUCKETS, **told
        )
        self._tokens = Counter("wheelwork_tokens", "Tokens read and written.", ["loop", "version", "kind"], **told)
        self._cache = Counter("wheelwork_cache", "Answers by how they were got.", ["loop", "how"], **told)
        self._shadows = Counter(
            "wheelwork_shadows", "Unheard questions by what became of them.", ["loop", "end"], **told
        )
        self.in_flight = Gauge("wheelwork_in_flight", "Requests under way.", **told)
        self._children: dict[tuple[Any, ...], Any] = {}

    def request(self, route: str, status: int) -> None:
        self._child(self._requests, route, str(status)).inc()

    def answer(
        self,
        loop: str,
        version: str,
        role: str,
        status: int,
        latency: float,
        first: float | None,
        read: int,
        written: int,
    ) -> None:
        self._child(self._answers, loop, version, role, str(status)).inc()
        self._child(self._latency, loop, version, role).observe(latency)
        if first is not None:
            self._child(self._first, loop, version, role).observe(first)
        if read or written:
            self._child(self._tokens, loop, version, "read").inc(read)
            self._child(self._tokens, loop, version, "written").inc(written)

    def cache(self, loop: str, how: str) -> None:
        self._child(self._cache, loop, how).inc()

    def shadow(self, loop: str, end: str) -> None:
        self._child(self._shadows, loop, end).inc()

    def _child(self, metric: Any, *labels: str) -> Any:
        key = (metric, *labels)
        if (child := self._children.get(key)) is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def text(self) -> bytes:
        return bytes(generate_latest(self.registry))


class Parts(Collector):
    """What the parts tell when they are asked: versions served, what became of exchanges, how each part is."""

    def __init__(
        self,
        served: Callable[[], Sequence[Served]],
        counts: Callable[[], Mapping[str, int]],
        health: Callable[[], Sequence[Health]],
    ) -> None:
        self._served, self._counts, self._health = served, counts, health

    def collect(self) -> Iterable[Metric]:
        versions = GaugeMetricFamily(
            "wheelwork_version_served_since_seconds", "Versions that can be asked.", labels=["loop", "version", "role"]
        )
        for one in self._served():
            versions.add_metric([one.loop, one.version, one.role], one.since)
        yield versions
        exchanges = CounterMetricFamily("wheelwork_exchanges", "What became of exchanges.", labels=["end"])
        waiting = GaugeMetricFamily("wheelwork_exchanges_waiting", "Exchanges that are not stored yet.")
        for name, count in self._counts().items():
            if name == "waiting":
                waiting.add_metric([], count)
            else:
                exchanges.add_metric([name], count)
        yield exchanges
        yield waiting
        health = GaugeMetricFamily("wheelwork_part_state", "0 ok, 1 degraded, 2 down.", labels=["part"])
        for part in self._health():
            health.add_metric([part.part], STATES[part.state])
        yield health

    def describe(self) -> Iterable[Metric]:
        return ()  # asking the parts at the start would ask before they are there
