"""What the benchmark beside others makes of the lines their drivers print, and of what went wrong."""

import json

import pytest
from wheelwork.benchmarks.peers import PeerError, Run, beyond_the_start, complaint, secluded


def printed(*runs: tuple[int, float, float]) -> str:
    return "\n".join(["loading …", *(json.dumps(Run(*run)._asdict()) for run in runs), "done"])


def test_the_start_and_the_first_run_are_taken_away() -> None:
    output = printed((64, 9.0, 8.0), (64, 3.0, 1.0), (4064, 23.0, 17.0))
    assert beyond_the_start(output, (64, 64, 4064)) == Run(4000, 20.0, 16.0)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (printed((64, 1, 1), (64, 1, 1), (4000, 9, 9)), "of 64, 64, 4,064 rows it made 64, 64, 4,000"),
        ("loading …", "of 64, 64, 4,064 rows it made nothing"),
    ],
)
def test_a_peer_that_lost_rows_has_no_figure(output: str, said: str) -> None:
    with pytest.raises(PeerError, match=said):
        beyond_the_start(output, (64, 64, 4064))


def test_of_an_error_one_line_is_told() -> None:
    assert complaint("ERROR: versions\nERROR: none fits\nnotice: new pip\n\n") == "ERROR: none fits"
    assert complaint('Traceback\n  File "a"\nModuleNotFoundError: no openai\n') == "ModuleNotFoundError: no openai"
    assert complaint(" \n") == "it gave no reason"


def test_a_peer_sees_no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    environment = secluded("somewhere")
    assert "https_proxy" not in environment
    assert environment["HF_HOME"] == "somewhere/huggingface"
