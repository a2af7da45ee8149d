"""`serve:` of `loop.yaml`: how a loop is served. What stands here changes no round."""

from pydantic import Field

from ..settings import Setting
from ..traffic.settings import TrafficSettings
from .canary.settings import CanarySettings
from .gateway.cache import Cache
from .gateway.prompting import Prompting
from .gateway.settings import Limits
from .hooks.settings import HookSettings, Receiver
from .hosting.settings import HostSettings


class Serving(Setting):
    """How a loop is served, whom a promoted version answers first, what is kept of traffic, who calls and is told."""

    hosting: HostSettings = Field(HostSettings(), description="how versions come into service and leave it")
    canary: CanarySettings = Field(CanarySettings(), description="how a promoted version comes to its users")
    prompting: Prompting = Field(Prompting(), description="the loop's own prompt around a question")
    limits: Limits = Field(Limits(), description="what one request and one key may ask for")
    cache: Cache = Field(Cache(), description="whether answers are given again")
    traffic: TrafficSettings = Field(TrafficSettings(), description="what is kept of traffic, and what becomes of it")
    hooks: HookSettings = Field(HookSettings(), description="webhooks that are taken, and what they start")
    notify: tuple[Receiver, ...] = Field((), description="who is told of verdicts, rollbacks, canaries and drift")
