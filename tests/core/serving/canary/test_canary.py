"""Trials as users and their host meet them: begun, widened, held, rolled back, and remembered over a kill."""

from pathlib import Path

import pytest
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.serving.canary.settings import CanarySettings
from wheelwork.core.serving.parts import Routed
from wheelwork.core.settings import parse
from wheelwork.tests.core.serving.canary.parts import LOOP, Service


def test_a_promoted_version_gets_its_share_and_the_one_before_the_rest(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    assert service.canary.wanted() == {"1", "2"}
    users = [f"u{number}" for number in range(4000)]
    on_trial = {user for user in users if service.canary.route(user) == Routed("2", "candidate")}
    assert 120 < len(on_trial) < 290
    assert all(service.canary.route(user) == Routed("1", "champion") for user in set(users) - on_trial)
    service.order("widen")
    assert service.acts() == ["begin", "widen"] and service.stage == 1
    wider = {user for user in users if service.canary.route(user).version == "2"}
    assert on_trial < wider and 850 < len(wider) < 1150


@pytest.mark.parametrize("kind", ["start", "rollback", "outside"])
def test_any_other_move_and_a_canary_that_is_off_reach_everybody_at_once(tmp_path: Path, kind: str) -> None:
    service = Service(tmp_path)
    service.canary.champion_moved(None, "1", "start")
    service.canary.champion_moved("1", "2", kind)
    assert service.stage is None and service.canary.route("u") == Routed("2", "champion")
    off = Service(tmp_path / "off", **CanarySettings.switched(False)).promoted()
    assert off.stage is None and off.canary.route("u") == Routed("2", "champion") and off.canary.wanted() == {"2"}


def test_the_first_promotion_is_tried_against_the_base(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.canary.champion_moved(None, None, "start")
    assert service.canary.route("u") == Routed("base", "champion")
    service.canary.champion_moved(None, "2", "promote")
    assert service.canary.wanted() == {"base", "2"}
    service.order("stop", reason="rude")
    assert service.acts() == ["begin", "roll_back"]
    assert service.moved == [("2", "base", "ann stopped the trial: rude")]
    assert service.canary.champion is None and service.canary.wanted() == {"base"}


def test_harm_takes_the_candidate_from_everybody_with_the_request_that_shows_it(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.canary.decide()
    for _ in range(5000):
        service.ask(f"user {service.count}", failing="2")
        if service.canary.wanted() == {"1"}:
            break
    assert service.count < 1000 and service.moved == []  # the alias follows as the host next looks
    assert service.acts() == ["roll_back"]
    ((candidate, stable, reason),) = service.moved
    assert (candidate, stable) == ("2", "1") and "100.0% of" in reason and "harm is shown" in reason
    assert service.written[0] == "5% of users: trial of version 2 against version 1 begins: it was promoted"
    assert service.written[1].startswith("5% of users: to be rolled back to version 1: failed: 100.0% of")
    assert service.canary.champion == "1" and service.stage is None
    service.canary.champion_moved("2", "1", "rollback")  # the host hears of its own move
    assert service.acts() == [] and service.canary.route("u") == Routed("1", "champion")


def test_without_harm_it_is_widened_to_everybody_and_what_is_unknown_is_said(tmp_path: Path) -> None:
    service = Service(tmp_path, min_requests=50, stages=(0.2, 0.5, 1.0)).promoted()
    acts = []
    while service.stage is not None and service.count < 20_000:
        service.many(20)
        acts += service.acts()
    assert acts == ["begin", "widen", "widen"]
    assert service.canary.wanted() == {"2"} and service.canary.route("u") == Routed("2", "champion")
    assert service.written[1].startswith("20% of users: widened: next 50% of users: harm beyond the margin is excluded")
    assert service.written[2].endswith("unknown: feedback")
    figures = service.canary.remembered.decisions[-1].figures
    assert set(figures) == {"errors", "latency", "collapse"} and figures["errors"]["candidate"] == 0
    assert service.moved == []


def test_feedback_that_there_is_has_to_exclude_harm_too_or_shows_it(tmp_path: Path) -> None:
    service = Service(tmp_path, min_requests=50, stages=(0.3, 1.0)).promoted()
    for _ in range(3000):
        heard = service.ask(f"user {service.count}")
        service.say(heard, thumb="down" if heard.version == "2" and service.count % 2 else "up")
        if service.canary.wanted() == {"1"}:
            break
        assert "widen" not in service.acts()
    service.acts()
    assert "displeasure" in service.moved[0][2] and service.count < 1500


def test_a_slower_candidate_is_rolled_back_and_a_tolerably_slower_one_is_not(tmp_path: Path) -> None:
    for factor, back in ((1.6, True), (1.08, False)):
        service = Service(tmp_path / str(factor), stages=(0.3, 1.0)).promoted()
        for _ in range(1500):
            service.now += 1
            user = f"user {service.count}"
            seconds = (1 + service.count % 7 / 10) * (factor if service.canary.route(user).version == "2" else 1)
            service.ask(user, latency=seconds)
        assert (service.canary.wanted() == {"1"}) is back


def test_a_user_counts_once_and_one_who_is_never_pleased_is_no_evidence(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    grump = next(user for user in map(str, range(1000)) if service.canary.route(user).version == "2")
    for _ in range(50):
        service.many(10)
        service.say(service.ask(grump), thumb="down")
    evidence = service.canary.remembered.trial.evidence  # type: ignore[union-attr]
    assert evidence.feedback.outcomes == [0, 1]
    assert sum(evidence.requests) == 550 and sum(evidence.errors.outcomes) <= 501
    assert service.canary.wanted() == {"1", "2"}
    alike = Service(tmp_path / "alike", unit="request").promoted()
    for _ in range(5):
        alike.say(alike.ask(grump), thumb="down")
    assert alike.canary.remembered.trial.evidence.feedback.outcomes == [0, 5]  # type: ignore[union-attr]


def test_what_is_of_no_account_is_not_counted(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    before = service.exchange("old", "1", "champion").model_copy(update={"at": service.now - 1})
    for exchange in (
        before,
        service.exchange("a", "7", "pinned"),
        service.exchange("b", "2", "pinned"),
        service.exchange("c", "1", "champion", cached=True),
        service.exchange("d", "1", "champion", status=429, error="rate_limit_error"),
        service.exchange("e", "2", "shadow", shadow_of="a"),
    ):
        service.canary.observe(exchange)
        service.say(exchange, comment="hm")
    assert service.canary.remembered.trial.evidence.requests == (0, 0)  # type: ignore[union-attr]


def test_each_stage_is_told_by_those_whom_it_moved_over(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.order("widen")
    service.acts()
    place = service.places()
    for number in range(400):
        service.ask(f"u{number}")
    evidence = service.canary.remembered.trial.evidence  # type: ignore[union-attr]
    early = sum(place(f"u{number}") < 0.05 for number in range(400))
    moved = sum(0.05 <= place(f"u{number}") < 0.25 for number in range(400))
    assert early and evidence.errors.outcomes == [400 - early - moved, moved]
    assert sum(evidence.requests) == 400


def test_in_a_shadow_stage_nobody_hears_the_candidate_and_harm_is_seen(tmp_path: Path) -> None:
    service = Service(tmp_path, shadow=0.2).promoted()
    assert all(service.ask(f"u{number}").version == "1" for number in range(100))
    assert service.canary.wanted() == {"1", "2"}
    stable, candidate = service.canary.remembered.trial.evidence.requests  # type: ignore[union-attr]
    assert stable + candidate == 100 and 5 < candidate < 40
    service.say(service.ask("u"), thumb="down")
    assert service.canary.remembered.trial.evidence.feedback.outcomes == [0, 0]  # type: ignore[union-attr]
    service.many(300, failing="2")
    assert service.canary.wanted() == {"1"}
    assert "roll_back" in service.acts() and service.written[-1].startswith("shadow, 20% of requests mirrored")


def test_a_person_holds_resumes_and_widens(tmp_path: Path) -> None:
    service = Service(tmp_path, min_requests=20, stages=(0.3, 1.0)).promoted()
    service.order("hold", reason="a holiday")
    service.many(600)
    assert service.acts() == ["begin", "hold"] and service.acts() == []
    assert service.written[-1] == "30% of users: held by ann: a holiday"
    service.order("hold")
    service.order("widen", candidate="1")  # of an earlier trial
    assert service.acts() == [] and service.stage == 0
    service.order("resume")
    assert service.acts() == ["resume", "widen"] and service.stage is None


def test_a_held_trial_is_rolled_back_all_the_same_when_harm_is_shown(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.order("hold")
    service.acts()
    service.many(600, failing="2")
    assert service.acts() == ["roll_back"] and service.moved


def test_a_person_gives_it_to_everybody(tmp_path: Path) -> None:
    service = Service(tmp_path, shadow=0.1).promoted()
    service.order("widen", everybody=True, reason="it is urgent")
    assert service.acts() == ["begin", "widen"] and service.canary.wanted() == {"2"}
    assert service.written[-1].endswith("widened by ann: next everybody: it is urgent")


def test_a_rollback_by_a_person_ends_a_trial_at_once(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.canary.champion_moved("2", "1", "rollback")
    assert service.canary.route("u") == Routed("1", "champion") and service.stage is None
    assert service.acts() == ["begin", "end"] and service.moved == []


def test_the_next_promotion_takes_the_place_of_a_candidate_that_is_still_on_trial(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.canary.champion_moved("2", "3", "promote")
    assert service.canary.wanted() == {"1", "3"}
    assert service.acts() == ["begin", "end", "begin"]


def test_who_is_promoted_while_the_candidate_is_left_is_tried_against_the_same_stable_version(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.overtaken = True
    service.order("stop")
    assert service.acts() == ["begin", "roll_back"] and service.canary.wanted() == {"1"}
    service.canary.champion_moved("2", "3", "promote")
    assert service.canary.wanted() == {"1", "3"}
    service.now += 20
    service.acts()
    assert len(service.moved) == 1


@pytest.mark.parametrize(
    ("unsure", "ends"),
    [("widen", ["begin", "widen"]), ("hold", ["begin", "hold"]), ("roll_back", ["begin", "roll_back"])],
)
def test_patience_ends_and_says_that_nothing_was_proven(tmp_path: Path, unsure: str, ends: list[str]) -> None:
    service = Service(tmp_path, when_unsure=unsure, min_requests=1).promoted()
    service.many(100)
    service.now += 25 * 3600
    assert [*service.acts(), *service.acts()][:2] == ends and service.acts() == []
    assert "harm beyond the margin is neither shown nor excluded" in service.written[1]


def test_a_hint_of_harm_waits_for_a_person_though_patience_ended(tmp_path: Path) -> None:
    service = Service(tmp_path, doubt=2).promoted()
    service.many(400)
    evidence = service.canary.remembered.trial.evidence  # type: ignore[union-attr]
    evidence.errors.harm.peak = 2.0
    service.now += 25 * 3600
    assert service.acts() == ["begin", "hold"] and "hints at harm" in service.written[-1]


def test_a_trial_goes_on_where_it_was_after_a_kill(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.many(300)
    service.canary.decide()
    kept = service.canary.remembered
    in_it = {user for user in map(str, range(500)) if service.canary.route(user).version == "2"}
    service.many(5)  # not written yet: lost
    service.start()
    assert service.canary.remembered == kept or service.canary.remembered.trial is not None
    assert sum(service.canary.remembered.trial.evidence.requests) == 300  # type: ignore[union-attr]
    assert {user for user in map(str, range(500)) if service.canary.route(user).version == "2"} == in_it
    service.canary.champion_moved(None, "2", "start")  # what stands in the registry is known already
    assert service.stage == 0
    service.canary.close()
    assert service.canary.champion == "2" and service.canary.known


def test_a_kill_before_the_alias_is_moved_back_leaves_nobody_with_the_candidate(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.down = True
    service.order("stop")
    assert service.acts() == ["begin", "roll_back"]
    assert service.canary.health().state == "degraded" and "MLflow does not answer" in service.canary.health().note
    service.start()
    assert service.canary.wanted() == {"1"}
    service.down = False
    service.acts()
    assert service.moved == [("2", "1", "ann stopped the trial")] and len(service.written) == 2
    assert service.canary.health().state == "ok"


def test_what_fails_is_tried_again_after_a_while_not_each_second(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.down = True
    service.acts()
    service.down = False
    service.now += 5
    service.acts()
    assert service.written == []
    service.now += 6
    service.acts()
    assert len(service.written) == 1


def test_the_state_does_not_grow_with_the_requests(tmp_path: Path) -> None:
    service = Service(tmp_path, patience=1000).promoted()
    sizes = []
    for _ in range(3):
        service.many(500)
        service.canary.decide()
        sizes.append((tmp_path / "canary" / f"{LOOP}.json").stat().st_size)
    assert max(sizes) < 70_000 and max(sizes) - min(sizes) < 2000


def test_a_damaged_state_is_a_sentence(tmp_path: Path) -> None:
    Service(tmp_path).promoted().canary.decide()
    (tmp_path / "canary" / f"{LOOP}.json").write_text("{")
    with pytest.raises(DataError, match=r"router\.json: the state of the canary cannot be read"):
        Service(tmp_path)


def test_stages_that_are_gone_from_the_settings_end_the_trial(tmp_path: Path) -> None:
    service = Service(tmp_path).promoted()
    service.order("widen")
    service.acts()
    again = Service(tmp_path, stages=(0.5, 1.0))
    assert again.stage is None and again.canary.wanted() == {"2"} and again.acts() == ["end"]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"stages": [0.05, 0.25]}, "of which the last is 1"),
        ({"stages": [0.5, 0.25, 1]}, "each share must be more than the one before"),
        ({"stages": []}, "of which the last is 1"),
        ({"latency": {"tolerance": 0.5}}, r"margin \(0.3\) must be more than tolerance \(0.5\)"),
        ({"alpha": 0}, "alpha"),
        ({"shadow": 1}, "less than or equal to 0.9"),
        ({"shadwo": 0.1}, "did you mean `shadow`"),
    ],
)
def test_impossible_settings_are_refused(told: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(CanarySettings, told, "loop.yaml")


def test_on_and_off_are_settings() -> None:
    assert CanarySettings.model_validate(False).off and CanarySettings.model_validate("off").off
    assert CanarySettings.model_validate(True) == CanarySettings() and not CanarySettings().off
    assert CanarySettings().harm_bar == pytest.approx(4 * 2 / 0.05)
