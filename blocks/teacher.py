"""A teacher kept as a Prefect block: address, model, key, limits and prices, filled in on a form."""

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from ..core.chat.openai import OpenAIChat
from ..core.errors import ConfigError
from ..core.teachers import BlockTeacher

SLUG = "wheelwork-teacher"


class WheelworkTeacher(Block):
    """An endpoint that speaks the OpenAI chat API; a loop names it as `teacher: {kind: block, name: …}`."""

    _block_type_name = "Wheelwork teacher"
    _block_type_slug = SLUG
    _description = "A model that writes, judges or verifies training samples."

    base_url: str = Field(description="up to and with /v1", pattern=r"^https?://")
    model: str = Field(description="the model's name there", min_length=1)
    api_key: SecretStr = Field(default=SecretStr(""), description="kept encrypted; empty for an open endpoint")
    parallel: int = Field(default=8, ge=1, le=1024, description="most calls under way at once")
    timeout: float = Field(default=120.0, gt=0, description="seconds for one call")

    def connect(self) -> OpenAIChat:
        """A client of the endpoint."""
        key = self.api_key.get_secret_value()
        return OpenAIChat(self.base_url, self.model, key, parallel=self.parallel, timeout=self.timeout)


def resolve_block(teacher: BlockTeacher) -> OpenAIChat:
    """The client of the block that `teacher` names. Raises ConfigError when there is no such block."""
    try:
        block = WheelworkTeacher.load(teacher.name, _sync=True)
    except ValueError as error:
        raise ConfigError(
            f"there is no Prefect block `{SLUG}/{teacher.name}`; make it on the page Blocks ({error})"
        ) from None
    if not isinstance(block, WheelworkTeacher):
        raise ConfigError(f"the Prefect block `{SLUG}/{teacher.name}` is of another kind; make it anew")
    return block.connect()
