"""Starting a Prefect deployment for a webhook: senders never hold credentials of Prefect, the gateway asks for them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, DependencyError
from ..core.serving.hooks.settings import Scalar
from .environment import running_services


class Starter:
    """Starts deployments on the Prefect that the settings name, or on that of `wheelwork up` for this state folder.

    It is looked for at each call, so that a gateway need not be started after Prefect; a server of its own is never
    started.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    async def __call__(self, deployment: str, parameters: Mapping[str, Scalar], key: str) -> str:
        """Start `deployment` (`flow/deployment`) and give the page of its run; the same `key` starts no second run.

        Raises DependencyError where Prefect does not answer or refuses, ConfigError where it has no such deployment.
        """
        import httpx
        from prefect.client.orchestration import PrefectClient
        from prefect.deployments import arun_deployment
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        api = await self._api()
        told: Any = dict(parameters)
        try:
            async with PrefectClient(api=api) as client:
                run = await arun_deployment(
                    deployment, client=client, parameters=told, idempotency_key=key, as_subflow=False, timeout=0,
                    tags=["webhook"],
                )  # fmt: skip
        except ObjectNotFound:
            raise ConfigError(f"Prefect at {api} has no deployment `{deployment}`; `wheelwork up` makes them") from None
        except PrefectHTTPStatusError as error:
            raise DependencyError(
                f"Prefect at {api} did not start `{deployment}`: status {error.response.status_code}"
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise DependencyError(f"Prefect at {api} does not answer ({type(error).__name__})") from error
        return f"{_pages(api)}/runs/flow-run/{run.id}"

    async def _api(self) -> str:
        from prefect.settings import PREFECT_API_URL

        if told := PREFECT_API_URL.value():
            return str(told)
        services = await asyncio.to_thread(running_services, self._home)
        if "prefect" not in services:
            raise DependencyError("there is no Prefect: neither PREFECT_API_URL nor `wheelwork up` names one")
        return f"{services['prefect']}/api"


def _pages(api: str) -> str:
    """Where Prefect's pages are: as its settings say, else beside its API."""
    from prefect.settings import PREFECT_UI_URL

    return str(PREFECT_UI_URL.value() or api.removesuffix("/api")).rstrip("/")
