"""From traffic to material: corrections, intents, what users dislike and prefer, and whether they ask otherwise."""

from prefect import flow

from ..core.traffic.told import Collected
from ..tasks.collect import concluded, keep_pairs, label_intents, log_figures, opened_traffic, plan_for_disliked
from ..tasks.collect_corrections import take_corrections
from ..tasks.drift import look_for_drift


@flow(name="collect", flow_run_name="collect {loop}", log_prints=False)
def collect(loop: str) -> Collected:
    """Turn the traffic of a loop into material for its next round; done twice it adds nothing.

    Args:
        loop: Folder of the loop (the one with loop.yaml in it), or the name of a scenario.
    """
    with opened_traffic(loop) as site:
        corrections = take_corrections(site=site)
        intents = label_intents(site=site)
        disliked = plan_for_disliked(site=site)
        pairs = keep_pairs(site=site)
        drift = look_for_drift(site=site)
        figures = log_figures(site=site)
        return concluded(site=site, parts=(corrections, intents, disliked, pairs, drift, figures))
