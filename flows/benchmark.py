"""Measure one version of a loop, outside of a round: when a candidate was registered, or when somebody asks."""

from prefect import flow

from ..core.rounds import Measurement
from ..tasks.measure import measure_version


@flow(name="benchmark", flow_run_name="benchmark {loop} {version}", log_prints=False)
def benchmark(loop: str, version: str = "champion") -> Measurement:
    """Let a version answer the suites of its loop, and write its scores to its run and its tags. It moves no alias.

    Args:
        loop: Folder of the loop (the one with loop.yaml in it), or the name of a scenario.
        version: Number of the version in the registry, `champion`, `candidate`, or `base` for no adapter at all.
    """
    return measure_version(loop, version)
