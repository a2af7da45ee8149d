"""What an exchange says of a version, and what it does not."""

import numpy as np
import pytest
from wheelwork.core.serving.canary.outcomes import Latencies, displeasure, failed
from wheelwork.core.serving.exchange import Exchange, Feedback


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [(200, "", False), (200, "server_error", True), (500, "server_error", True), (504, "", True),
     (400, "invalid_request_error", None), (429, "rate_limit_error", None), (499, "", None)],
)  # fmt: skip
def test_only_our_failures_count(status: int, error: str, says: bool | None) -> None:
    exchange = Exchange(id="x", at=0, loop="l", version="1", role="champion", messages=(), reply="", latency=1,
                        status=status, error=error)  # fmt: skip
    assert failed(exchange) is says


@pytest.mark.parametrize(
    ("said", "bad"),
    [({"thumb": "up"}, 0), ({"thumb": "down"}, 1), ({"rating": 5}, 0), ({"rating": 4}, 0.25), ({"rating": 1}, 1),
     ({"correction": "no"}, 1), ({"thumb": "up", "correction": "no"}, 1), ({"comment": "hm"}, None)],
)  # fmt: skip
def test_feedback_is_from_all_well_to_bad(said: dict[str, object], bad: float | None) -> None:
    assert displeasure(Feedback(exchange="x", at=0, **said)) == bad  # type: ignore[arg-type]


def test_latencies_are_known_to_a_bin_and_none_is_slow_before_there_are_enough() -> None:
    latencies, random = Latencies(), np.random.default_rng(1)
    assert latencies.slowness(5.0) is None and latencies.quantile(0.5) is None
    drawn = random.lognormal(0, 0.5, 3000)
    for seconds in drawn:
        latencies.add(float(seconds))
    for share in (0.5, 0.9):
        told = latencies.quantile(share) or 0
        assert np.quantile(drawn, share) <= told * 1.03 and told <= np.quantile(drawn, share) * 1.16
    assert latencies.slowness(0.01) == 0 and latencies.slowness(90.0) == 1
    assert latencies.slowness(1.0) == pytest.approx(0.5, abs=0.07)
    assert latencies.slowness(1.5, slower=0.5) == latencies.slowness(1.0)
    ranks = [latencies.slowness(float(seconds)) or 0 for seconds in random.lognormal(0.4055, 0.5, 2000)]
    assert float(np.mean(ranks)) == pytest.approx(0.717, abs=0.03)  # the chance that one is the longer of two


def test_latencies_that_are_all_the_same_have_the_middle_rank() -> None:
    latencies = Latencies()
    for _ in range(40):
        latencies.add(0.5)
    assert (latencies.slowness(0.5), latencies.slowness(0.5, slower=0.3), latencies.slowness(0.8)) == (0.5, 0, 1)


def test_what_is_beyond_the_bins_counts_as_the_last_and_counts_stay_bounded() -> None:
    latencies = Latencies()
    for seconds in [0.0, 1e9] * 5000:
        latencies.add(seconds)
    assert sum(latencies.counts) == latencies.total < 4096
    assert latencies.slowness(1e9) == pytest.approx(0.75) and latencies.slowness(0.0) == pytest.approx(0.25)
