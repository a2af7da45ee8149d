"""Which checkpoint a training goes on from, and what a full disk is called by libraries that are not Python."""

import json
from pathlib import Path

import pytest
from safetensors import SafetensorError
from wheelwork.core.errors import WorkspaceError
from wheelwork.core.training.checkpoints import explaining_write_errors, last_checkpoint


def test_the_last_checkpoint_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (tmp_path / "checkpoint-old").mkdir()
    assert last_checkpoint(tmp_path) == (tmp_path / "checkpoint-10", 10)
    assert last_checkpoint(tmp_path / "none") == (None, 0)


def test_a_disk_that_is_full_for_safetensors_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="the disk is full"), explaining_write_errors(tmp_path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(SafetensorError), explaining_write_errors(tmp_path):
        raise SafetensorError("Error while deserializing header")
