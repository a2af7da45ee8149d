"""A teacher kept as a Prefect block: found by its name, its key hidden."""

import pytest
from wheelwork.blocks.teacher import WheelworkTeacher, resolve_block
from wheelwork.core.errors import ConfigError
from wheelwork.core.teachers import BlockTeacher


@pytest.mark.usefixtures("prefect")
def test_a_block_becomes_a_client() -> None:
    block = WheelworkTeacher(base_url="http://t.test/v1", model="big", api_key="secret", parallel=3)
    block.save("ours", overwrite=True, _sync=True)
    chat = resolve_block(BlockTeacher(name="ours"))
    assert (chat.base_url, chat.model, chat.parallel) == ("http://t.test/v1", "big", 3)
    assert "secret" not in repr(block)


@pytest.mark.usefixtures("prefect")
def test_a_block_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no Prefect block `wheelwork-teacher/nobody`; make it on the page Blocks"):
        resolve_block(BlockTeacher(name="nobody"))
