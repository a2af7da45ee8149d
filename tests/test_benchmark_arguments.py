"""What benchmarks take on the command line: what cannot be meant ends them before anything runs."""

import argparse
from pathlib import Path

import pytest
from wheelwork.benchmarks.arguments import loop_of, positive


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many"])
def test_a_count_is_a_whole_number_from_one_on(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number from 1 on"):
        positive(text)
    assert positive("12") == 12


def test_a_loop_that_cannot_be_read_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        loop_of(str(tmp_path / "nowhere"))
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "there is no such folder" in told and told.count("\n") == 1
    assert loop_of("home_broadband").name == "home_broadband"
