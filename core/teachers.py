"""Who writes, judges and verifies samples: the loop's own base in the embedded engine, or any endpoint."""

import os
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from .chat.budget import Prices
from .chat.openai import OpenAIChat
from .errors import ConfigError
from .settings import Setting

Role = Literal["writer", "judge", "verifier"]
Roles = Annotated[tuple[Role, ...], Field(min_length=1, description="what it is asked to do")]
Weight = Annotated[
    float,
    Field(
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="its share of the requests, beside the other teachers' weights; 0: it only stands in for them",
    ),
]
Choices = Annotated[int, Field(ge=1, le=64, description="independent replies that one call is to bring")]
PriceList = Annotated[Prices | None, Field(description="what tokens cost there; unset: nothing")]


class EmbeddedTeacher(Setting):
    """A local model in the embedded engine; by default the base of the loop itself."""

    kind: Literal["embedded"] = "embedded"
    model: str | None = Field(None, description="a catalogue name, folder, .gguf or hub id; unset: the loop's base")
    roles: Roles = ("writer",)
    weight: Weight = 1.0
    choices: Choices = 8  # the prompt is read once for all of them


class OpenAITeacher(Setting):
    """An endpoint that speaks the OpenAI chat API."""

    kind: Literal["openai"] = "openai"
    base_url: str = Field(pattern=r"^https?://", description="up to and with /v1")
    model: str = Field(min_length=1, description="the model's name there")
    api_key_env: str = Field("", description="name of the environment variable that holds the key")
    parallel: int = Field(8, ge=1, le=1024, description="most calls under way at once; fewer when it cannot")
    timeout: float = Field(120.0, gt=0, description="seconds for one call")
    roles: Roles = ("writer",)
    weight: Weight = 1.0
    choices: Choices = 1
    prices: PriceList = None

    def connect(self) -> OpenAIChat:
        """A client of the endpoint. Raises ConfigError when the key's variable is not set."""
        key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
        if self.api_key_env and not key:
            raise ConfigError(f"the teacher's key is to come from ${self.api_key_env}, which is not set; export it")
        return OpenAIChat(self.base_url, self.model, key, parallel=self.parallel, timeout=self.timeout)


class BlockTeacher(Setting):
    """An endpoint whose address and key are kept in a Prefect block; whoever runs the loop resolves its name."""

    kind: Literal["block"] = "block"
    name: str = Field(min_length=1, description="name of the block")
    roles: Roles = ("writer",)
    weight: Weight = 1.0
    choices: Choices = 1
    prices: PriceList = None


Teacher = Annotated[EmbeddedTeacher | OpenAITeacher | BlockTeacher, Field(discriminator="kind")]


def teachers_for(role: Role, teachers: Iterable[Teacher]) -> tuple[Teacher, ...]:
    """Those of `teachers` that have this role, in their order, which is also the order of fallback."""
    return tuple(teacher for teacher in teachers if role in teacher.roles)
