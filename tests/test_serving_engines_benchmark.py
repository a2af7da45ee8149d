"""The benchmark of swaps with real engines: what it makes of replies, and what its versions are."""

import json
from pathlib import Path

import numpy as np
import orjson
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from wheelwork.benchmarks.serving_command import Look, came
from wheelwork.benchmarks.serving_engines import Restart, restart_figures, result_name
from wheelwork.benchmarks.serving_load import Reply
from wheelwork.benchmarks.serving_swaps import Faults, Swap, faults, parted, said, swap_figures
from wheelwork.benchmarks.serving_versions import SPEAKERS, copied_loop, label_of, lessons, stretched
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop
from wheelwork.core.serving.canary.settings import CanarySettings

LABELS = ("line", "wifi", "bill", "move")


def reply(version: str, text: str, asked: float, at: float, status: int = 200) -> Reply:
    told = {"model": f"demo@{version}", "choices": [{"message": {"content": text}}]}
    return Reply(at - asked, status, orjson.dumps(told), at)


def test_a_reply_belongs_to_the_version_that_it_names() -> None:
    assert said(reply("v6", " bill\n", 0, 1)) == ("6", "bill") and label_of(LABELS, "6") == "bill"
    assert said(reply("v6", "bill", 0, 1, status=503)) == ("", "")
    swaps = [Swap("6", promoted=2.0, engine=3.0, first=5.0)]
    heard = [
        reply("v5", "wifi", 0.0, 1.0),
        reply("v6", "bill", 4.0, 5.0),
        reply("v5", "wifi", 4.5, 6.0),  # begun before, so it may end where it began
        reply("v5", "wifi", 5.5, 6.5),  # but this one was asked when the new one had answered
        reply("v6", "wifi", 6.0, 7.0),
        reply("base", "bill", 6.0, 7.0),
        reply("v6", "", 6.0, 7.0, status=503),
    ]
    assert faults(LABELS, heard, swaps) == Faults(failed=1, mixed=2, late=1)


def test_versions_that_are_loaded_together_say_different_things() -> None:
    # the champion, the one before and one more, in the new engine, and one back in the old one
    assert len({label_of(LABELS, str(version)) for version in range(7, 7 + SPEAKERS)}) == SPEAKERS


def test_a_reply_counts_to_the_swap_that_it_was_under_way_in() -> None:
    swaps = [Swap("2", 10.0, 11.0, 14.0), Swap("3", 20.0, 21.0, float("inf"))]
    spans = [(8.0, 9.0), (9.5, 10.5), (11.0, 12.0), (13.5, 14.5), (14.0, 15.0), (30.0, 31.0)]
    heard = [reply("v1", "wifi", *span) for span in spans]
    during, between = parted(heard, swaps)
    assert (len(during), len(between)) == (4, 2)


def test_what_a_swap_took_and_held() -> None:
    looks = [
        Look(0.0, 300 * 2**20, frozenset({1})),
        Look(2.9, 300 * 2**20, frozenset({1})),
        Look(3.0, 500 * 2**20, frozenset({1, 2})),
        Look(9.0, 310 * 2**20, frozenset({2})),
    ]
    assert came(looks, 2.0) == 3.0 and came(looks, 0.5) == 3.0 and came(looks, 8.0) is None
    heard = [reply("v1", "wifi", 0.0, 1.0), reply("v2", "bill", 4.0, 5.0)]
    told = {one.metric: one.value for one in swap_figures("demo", LABELS, heard, [Swap("2", 2.0, 3.0, 5.0)], looks)}
    assert told["promotion to the process of the new engine, longest"] == 1.0
    assert told["process of the new engine to its first answer, longest"] == 2.0
    assert told["promotion to the first answer of the new version, median"] == 3.0
    assert (told["p50 between swaps"], told["p50 during swaps"]) == (1000.0, 1000.0)
    assert (told["engines at once, most"], told["memory, most"]) == (2, 500.0)
    assert told["memory with one engine, median"] in (300.0, 310.0)
    never = swap_figures("demo", LABELS, heard, [Swap("3", 2.0, None, float("inf"))], looks)
    assert max(one.value for one in never if one.unit == "s") == float("inf"), "what never came has no time"


def test_a_restart_is_told_with_and_without_the_load_of_the_model() -> None:
    made = [Restart(0.1, 2.0, 5.0, 5.5), Restart(0.4, 2.5, 6.0, 9.0)]
    figures = restart_figures("demo", made, 0, [1.0, 1.5])
    told = {one.metric: one.value for one in figures}
    assert told["last engine ended after the gateway, longest"] == 0.4
    assert told["start to ready, longest"] == 6.0 and told["start to ready less that, longest"] == 4.5
    assert told["start to the newest version's answer, longest"] == 9.0


def test_only_a_whole_run_has_the_name_of_one() -> None:
    assert result_name(True, ["beside", "swapped", "killed"]) == "serving-engines"
    assert result_name(True, ["killed"]) == "serving-engines-killed"
    assert result_name(False, ["beside", "swapped", "killed"]) == "serving-engines-quick"


def test_a_version_is_another_file_with_nearly_the_same_update(tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    whole = np.ones((4, 2), np.float32)
    weights = {"q.lora_A.weight": whole, "q.lora_B.weight": whole}
    save_file(weights, trained / "adapter_model.safetensors")
    made = [stretched(trained, number, tmp_path / str(number)) for number in (1, 5)]
    assert made[0].digest != made[1].digest
    found = load_file(made[1].folder / "adapter_model.safetensors")
    assert found["q.lora_B.weight"] == pytest.approx(whole * 1.0005) and np.array_equal(found["q.lora_A.weight"], whole)


def test_the_copy_of_a_loop_gives_a_promoted_version_to_everybody(tmp_path: Path) -> None:
    loop = load_loop(copied_loop(load_loop(find_loop("home_broadband")), tmp_path / "loop"))
    assert loop.settings.serve.canary.off and not CanarySettings().off
    given = yaml.safe_load((find_loop("home_broadband") / "loop.yaml").read_text(encoding="utf-8"))
    assert loop.digest == load_loop(find_loop("home_broadband")).digest and "serve" not in given
    learnt = lessons(loop, "billing_dispute")
    assert {one.completion for one in learnt} == {"billing_dispute"} and len({one.prompt for one in learnt}) > 20
