"""How a loop's engines are kept: how often the registry is looked at, how long requests may drain."""

from pydantic import Field, model_validator

from ...settings import Setting


class HostSettings(Setting):
    """How versions come into service and leave it."""

    poll: float = Field(0.5, ge=0.01, le=60, description="seconds between looks at the registry")
    health: float = Field(2.0, ge=0.01, le=60, description="seconds between looks at the engine")
    warm_up: float = Field(60.0, gt=0, le=3600, description="seconds that the first question of a version may take")
    warm_up_tokens: int = Field(8, ge=1, le=512, description="length of the answer to it")
    linger: float = Field(
        2.0,
        ge=0,
        le=60,
        description="seconds for which a version that was replaced still takes requests already routed",
    )
    drain: float = Field(
        120.0, ge=0, le=3600, description="seconds that requests under way may then take, before they are cut off"
    )
    recent: int = Field(1, ge=0, le=16, description="earlier champions that stay ready, so that a rollback is instant")
    pinned: int = Field(2, ge=0, le=64, description="further versions at once that callers may name; 0: none")
    keep_pinned: float = Field(
        600.0, ge=1, le=86400, description="seconds that such a version stays after its last use"
    )
    pinned_wait: float = Field(30.0, ge=0, le=600, description="seconds that a request waits for one to load")
    restart: float = Field(1.0, ge=0.01, le=60, description="seconds before an engine that died twice starts again")
    restart_longest: float = Field(60.0, ge=0.01, le=3600, description="the most that this grows to, doubling")
    retry: float = Field(
        30.0, ge=0.01, le=3600, description="seconds between looks whether a version that was refused has changed"
    )

    @model_validator(mode="after")
    def _grows(self) -> "HostSettings":
        if self.restart_longest < self.restart:
            raise ValueError(
                f"`restart_longest` ({self.restart_longest:g}) is below `restart` ({self.restart:g}); raise it"
            )
        return self
