"""How users take each version, for Prometheus: what was read last, so that no scrape waits for the database."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .archive import Archive
from .figures import Figures, figures
from .retention import DAY
from .settings import TrafficSettings
from .trouble import AWAY, reason_of

PAUSE = 60.0  # seconds between two readings, at least
RARER = 20  # a reading that took long is followed by a pause this many times as long
BY = ("loop", "version")
SHOWN: Mapping[str, tuple[str, Callable[[Figures], float | None]]] = {
    "satisfaction_ratio": ("Share of the rated answers that users were content with.", lambda row: row.satisfaction),
    "satisfaction_low_ratio": ("Lower end of its 95% interval.", lambda row: row.low),
    "satisfaction_high_ratio": ("Upper end of its 95% interval.", lambda row: row.high),
    "answers_rated": ("Answers with a thumb or a rating.", lambda row: row.rated),
    "correction_ratio": ("Share of the answers that users corrected.", lambda row: row.correction_rate),
    "recall_ratio": ("Share of the questions of a known label that were served with it.", lambda row: row.recall),
    "agreement_ratio": ("Share of the encoder's sure labels that were served.", lambda row: row.agreement),
}
"""What is shown under `wheelwork_…`: of each version what is known of it."""

log = logging.getLogger(__name__)


class Read(NamedTuple):
    """The figures of each loop, and when they were read, in seconds since 1970."""

    at: float
    rows: Mapping[str, Sequence[Figures]]

    def each(self) -> Iterator[tuple[str, Figures]]:
        return ((loop, row) for loop, rows in self.rows.items() for row in rows)


class Gauges(Collector):
    """The figures of the last days that a loop's `collect.days` names, read now and then in a thread.

    Where the database does not answer nothing is known, so nothing is shown; a version of which nothing is stored any
    more goes. `settings` are those of each loop, by its name; `clock` tells seconds since 1970.
    """

    def __init__(
        self, archive: Archive, settings: Mapping[str, TrafficSettings], clock: Callable[[], float] = time.time
    ) -> None:
        self._archive, self._settings, self._clock = archive, settings, clock
        self._read: Read | None = None

    async def forever(self) -> None:
        """Read again and again, until cancelled: once a minute at most, and rarely where it takes long."""
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self.read)
            await asyncio.sleep(max(PAUSE, RARER * (time.monotonic() - began)))

    def read(self) -> None:
        """Ask the database, and wait for it; what goes wrong is in the log."""
        now = self._clock()
        try:
            rows = {name: self._of(name, one, now) for name, one in self._settings.items()}
        except Exception as error:  # most often the database is away, of which the recorder tells in /readyz
            log.info("figures of traffic are not shown: %s", reason_of(error), exc_info=not isinstance(error, AWAY))
            self._read = None
        else:
            self._read = Read(now, rows)

    def collect(self) -> Iterable[Metric]:
        if (read := self._read) is None:
            return
        at = GaugeMetricFamily("wheelwork_traffic_read_timestamp_seconds", "When these figures were read.")
        at.add_metric([], read.at)
        yield at
        for name, (what, value_of) in SHOWN.items():
            gauge = GaugeMetricFamily(f"wheelwork_{name}", what, labels=BY)
            for loop, row in read.each():
                if (value := value_of(row)) is not None:
                    gauge.add_metric([loop, row.version], value)
            yield gauge
        labels = GaugeMetricFamily("wheelwork_label_recall_ratio", "The recall of one label.", labels=(*BY, "label"))
        asked = GaugeMetricFamily("wheelwork_label_questions", "Questions that wanted it.", labels=(*BY, "label"))
        for loop, row in read.each():
            for one in row.labels:
                labels.add_metric([loop, row.version, one.label], one.right / one.asked)
                asked.add_metric([loop, row.version, one.label], one.asked)
        yield labels
        yield asked

    def describe(self) -> Iterable[Metric]:
        return ()  # else it would be asked for at the start, when nothing is read

    def _of(self, loop: str, settings: TrafficSettings, now: float) -> list[Figures]:
        since = now - settings.collect.days * DAY
        return figures(self._archive, loop, since, settings.collect.sure, days=False, latencies=False)
