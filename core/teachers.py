"""Who writes samples: the loop's own base in the embedded engine, or any OpenAI-compatible endpoint."""

import os
from typing import Annotated, Literal

from pydantic import Field

from .chat.openai import OpenAIChat
from .errors import ConfigError
from .settings import Setting


class EmbeddedTeacher(Setting):
    """A local model in the embedded engine; by default the base of the loop itself."""

    kind: Literal["embedded"] = "embedded"
    model: str | None = Field(None, description="a catalogue name, folder, .gguf or hub id; unset: the loop's base")


class OpenAITeacher(Setting):
    """An endpoint that speaks the OpenAI chat API."""

    kind: Literal["openai"] = "openai"
    base_url: str = Field(pattern=r"^https?://", description="up to and with /v1")
    model: str = Field(min_length=1, description="the model's name there")
    api_key_env: str = Field("", description="name of the environment variable that holds the key")
    parallel: int = Field(8, ge=1, le=1024, description="calls under way at once")
    timeout: float = Field(120.0, gt=0, description="seconds for one call")

    def connect(self) -> OpenAIChat:
        """A client of the endpoint. Raises ConfigError when the key's variable is not set."""
        key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
        if self.api_key_env and not key:
            raise ConfigError(f"the teacher's key is to come from ${self.api_key_env}, which is not set; export it")
        return OpenAIChat(self.base_url, self.model, key, parallel=self.parallel, timeout=self.timeout)


Teacher = Annotated[EmbeddedTeacher | OpenAITeacher, Field(discriminator="kind")]
