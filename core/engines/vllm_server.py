"""What is asked of a vLLM server beside answers: its version and health, its models, and its adapters."""

import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from ..errors import DependencyError, ModelError
from ..models.store import ModelFiles
from .base import ADAPTER_FILES, Adapter

NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
LONGEST_MESSAGE = 300
LOADING = 300.0  # seconds; a large adapter over a network folder takes its time
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"


def served_name(name: str, adapter: Adapter) -> str:
    """The name on the server, which no other adapter can have. Raises ModelError for what is no name of a folder."""
    if not NAME.fullmatch(name):
        raise ModelError(f"`{name}`: vLLM's adapters are named with letters, digits, `.`, `-` and `_`; name it so")
    return f"{name}-{adapter.digest[:12]}"


def copy_adapter(adapter: Adapter, target: Path) -> None:
    """Copy the configuration and the safetensors, and nothing else, to `target`, whole or not at all."""
    if target.is_dir():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".adapter-", dir=target.parent))
        try:
            for name in ADAPTER_FILES:
                shutil.copyfile(adapter.folder / name, scratch / name)
            scratch.chmod(0o755)  # the server may run as somebody else
            scratch.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        if target.is_dir():  # somebody else was quicker
            return
        raise ModelError(
            f"{target}: the adapter cannot be copied there ({error}); see `engine.adapters_path`"
        ) from error


class LateError(DependencyError):
    """The server took the request and has not answered in time: it may only be busy."""


class VllmServer:
    """The server at `url`, without /v1. Every call raises DependencyError when it does not answer."""

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> "VllmServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def version(self) -> str:
        version = self._json("/version").get("version")
        if not isinstance(version, str):
            raise ModelError(
                f"{self._url}: does not say which version of vLLM it is; `engine.base_url` is another server"
            )
        return version

    def base(self, wanted: str, model: ModelFiles) -> str:
        """The name under which the base is served. Raises ModelError when the server has another model."""
        cards = [card for card in self._cards() if not card.get("parent")]
        for card in cards:
            if card["id"] == wanted or (
                not wanted and {card["id"], card.get("root")} & {model.name, str(model.folder)}
            ):
                return str(card["id"])
        has = ", ".join(str(card["id"]) for card in cards) or "no model"
        raise ModelError(
            f"{self._url}: serves {has}, not {wanted or model.name}; start vLLM with the base of this loop, or "
            "name it in `engine.model` if it is the same under another name"
        )

    def loaded(self) -> set[str]:
        """Names of the adapters that the server has."""
        return {str(card["id"]) for card in self._cards() if card.get("parent")}

    def load(self, name: str, path: str) -> None:
        """Raises ModelError with the server's own words when it does not take the adapter."""
        status, said = self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        if status == 200 or "already been loaded" in said:  # somebody else was quicker, with the same digest
            return
        if status == 404 and "No adapter found" in said:
            raise ModelError(
                f"{self._url}: sees no adapter in {path}; set `engine.adapters_path` to a folder that this machine and "
                "the server share, and `engine.server_path` to its name there"
            )
        if status in (404, 405):
            raise ModelError(
                f"{self._url}: does not load adapters while it runs; start vLLM with `--enable-lora` and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            )
        raise ModelError(f"{self._url}: vLLM does not take the adapter `{name}` ({said or f'HTTP {status}'})")

    def unload(self, name: str) -> None:
        """One that is not there is unloaded already."""
        status, said = self._post("/v1/unload_lora_adapter", {"lora_name": name})
        if status not in (200, 404):
            raise ModelError(f"{self._url}: vLLM does not let go of `{name}` ({said or f'HTTP {status}'})")

    def busy(self) -> str:
        """How many requests it has, where its metrics say so. Raises DependencyError when it is not healthy."""
        if not (health := self._get("/health")).is_success:
            raise DependencyError(f"{self._url}: vLLM is not healthy (HTTP {health.status_code}); look at its log")
        metrics = self._get("/metrics")
        running, waiting = (_gauge(metrics.text, name) for name in (RUNNING, WAITING))
        return "" if running is None or waiting is None else f"{running:.0f} running, {waiting:.0f} waiting"

    def _cards(self) -> list[dict[str, Any]]:
        cards = self._json("/v1/models").get("data")
        return [card for card in cards if isinstance(card, dict) and "id" in card] if isinstance(cards, list) else []

    def _json(self, path: str) -> dict[str, Any]:
        answered = self._get(path)
        if answered.status_code in (401, 403):
            raise ModelError(f"{self._url}: wants another API key; see `engine.api_key_env`")
        try:
            answered.raise_for_status()
            read = answered.json()
        except (httpx.HTTPError, ValueError):
            read = None
        if not isinstance(read, dict):
            raise ModelError(
                f"{self._url}{path}: this is not vLLM's answer (HTTP {answered.status_code}); check `engine.base_url`"
            )
        return read

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._client.get(path)
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    def _post(self, path: str, body: dict[str, str]) -> tuple[int, str]:
        """The status, and what an error says."""
        try:
            answered = self._client.post(path, json=body, timeout=LOADING)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        try:
            read = answered.json()
            told = read.get("error", read) if isinstance(read, dict) else read
            said = str(told.get("message", "")) if isinstance(told, dict) else str(told)
        except ValueError:  # success is plain text
            said = answered.text
        return answered.status_code, " ".join(said.split())[:LONGEST_MESSAGE]

    def _silent(self, error: httpx.HTTPError) -> DependencyError:
        kind = LateError if isinstance(error, httpx.ReadTimeout) else DependencyError
        return kind(f"{self._url}: vLLM does not answer ({type(error).__name__}); start it, or check `engine.base_url`")


def _gauge(metrics: str, name: str) -> float | None:
    """The sum over the engines of one server, None where it does not tell."""
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(float(value) for value in found) if found else None
