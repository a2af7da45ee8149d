"""The example of a loop with judges: it is right, and its lines fit into a scenario."""

from pathlib import Path

import yaml
from wheelwork.core.loops import LoopSettings
from wheelwork.core.naming import find_loop
from wheelwork.core.settings import parse, read_yaml

PART = Path(__file__).parents[4] / "examples" / "review" / "loop-part.yaml"


def test_the_lines_fit_into_a_loop() -> None:
    lines = yaml.safe_load(PART.read_text(encoding="utf-8"))
    loop = parse(LoopSettings, read_yaml(find_loop("policy_qa") / "loop.yaml") | lines, str(PART))
    assert loop.funnel.roles == ("verifier", "judge")
    assert [len(loop.teachers(role)) for role in ("writer", "judge", "verifier")] == [1, 2, 1]
