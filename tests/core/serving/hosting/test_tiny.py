"""A promotion, a damaged adapter and a killed engine, with llama.cpp and a tiny Llama."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.errors import ServingError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.serving.hosting.host import Host
from wheelwork.core.serving.hosting.parts import Hosted, Release
from wheelwork.core.serving.hosting.settings import HostSettings
from wheelwork.tests.core.registry.parts import fingerprint
from wheelwork.tests.core.serving.hosting.staged import FakeReleases, champion, until
from wheelwork.tests.tiny import tiny_adapter, tiny_llama_gguf

SETTINGS = HostSettings(poll=0.05, health=0.2, linger=0.2, recent=0)
BODY = {
    "messages": [{"role": "user", "content": "Why is my bill higher than last month?"}], "max_tokens": 12,
    "temperature": 0,
}  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> ModelFiles:
    return ModelStore(tmp_path / "store").get(str(tiny_llama_gguf(tmp_path / "tiny.gguf")))


@pytest.fixture
def releases(tmp_path: Path, base: ModelFiles, one_thread: None) -> FakeReleases:
    """Versions 1, 2 and 3 are measured adapters of the tiny Llama; 3 was damaged since."""
    registry = FakeReleases(tmp_path)
    for version in ("1", "2", "3"):
        folder = tiny_adapter(tmp_path / f"adapter-{version}", base.folder, seed=int(version))
        digest = Adapter.at(folder).digest
        registry.releases[version] = Release(version, folder, digest, fingerprint(adapter=digest))
    weights = registry.releases["3"].folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    return registry


async def said(host: Host, version: str | None = None) -> tuple[str, str]:
    """Who answered, and what."""
    routed = host.route("tiny", version, "ann")
    async with host.lease("tiny", routed.version) as lease:
        engine: Any = lease.engine
        reply = await engine.answer("chat/completions", BODY, lease.adapter)
    return lease.version, reply["choices"][0]["message"]["content"]


def test_the_tiny_llama_is_swapped_refused_and_started_again(
    tmp_path: Path, base: ModelFiles, releases: FakeReleases
) -> None:
    async def work() -> None:
        releases.promote("1")
        hosted = Hosted(
            "tiny", base, LlamaCpp(threads=1, context=256), releases, lambda digest: fingerprint(adapter=digest),
            tuple(BODY["messages"]), SETTINGS,
        )  # fmt: skip
        async with Host([hosted], tmp_path / "home") as host:
            assert await host.settled()
            says = {"1": (await said(host))[1], "base": (await said(host, "base"))[1]}
            releases.promote("2")
            answers = []
            while champion(host) == "1":
                answers.append(await said(host))
            says["2"] = (await said(host))[1]
            assert len(set(says.values())) == 3  # adapters that answer alike would hide a mix-up
            answers += [await said(host) for _ in range(5)]
            assert answers and all(says[version] == text for version, text in answers)
            await until(lambda: len(_children()) == 1)

            releases.promote("3")
            await until(lambda: "not those that were registered" in host.health()[0].note)
            assert await said(host) == ("2", says["2"])
            releases.promote("2", "rollback")
            await until(lambda: host.health()[0].state == "ok")

            _children()[0].kill()
            with pytest.raises(ServingError):
                while True:
                    await said(host)
            await until(lambda: host.health()[0].state == "down")
            await until(lambda: host.health()[0].state == "ok", 60)
            assert await said(host) == ("2", says["2"])
        assert not _children()

    asyncio.run(work())


def _children() -> list[psutil.Process]:
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.Error):  # it ended at this moment
            found += [one] if "llamacpp_child" in " ".join(one.cmdline()) else []
    return found
