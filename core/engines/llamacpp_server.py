"""llama.cpp's own server, on loopback: in this process, or in a child that can be ended at any moment.

Closed just as a request arrives, the server in this process waits for ever with Python's lock held, and it sees every
streamed answer to its end. So what serves users runs in a child.
"""

import json
import secrets
import subprocess
import sys
from contextlib import suppress
from typing import Any, Protocol

import httpx

from ..errors import ModelError
from ..settings import Setting

CONNECTIONS = 128  # each holds a thread of llama.cpp's server, also while it is idle, for 5 s


class Plan(Setting):
    """All that a server is started with."""

    gguf: str
    loras: tuple[str, ...]
    """Converted adapters by their id in a request."""
    context: int
    sequences: int
    threads: int
    f32: bool
    connections: int = 0
    """Connections at once; 0 leaves the choice to llama.cpp."""
    api_key: str


class Server(Protocol):
    """A running server: `address` is http://host:port."""

    @property
    def address(self) -> str: ...

    def ended(self) -> str | None:
        """Why it runs no longer, None while it does."""
        ...

    def close(self) -> None: ...


class InProcess:
    """For rounds: nothing is asked of it while it is closed."""

    def __init__(self, plan: Plan) -> None:
        """Raises RuntimeError, without a reason, when llama.cpp cannot load the model."""
        self._server: Any = start_server(plan)
        self.address = str(self._server.listening_address)
        await_loop(self.address, plan.api_key)

    def ended(self) -> str | None:
        return None if self._server else "it was closed"

    def close(self) -> None:
        self._server = None  # its destructor ends the threads and frees the port


class Child:
    """For the gateway: it ends when it is closed, and by itself when this process ends, however that comes about."""

    def __init__(self, plan: Plan) -> None:
        """Raises RuntimeError when llama.cpp cannot load the model."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.llamacpp_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.address = self._started(plan)
            await_loop(self.address, plan.api_key)
        except BaseException:
            self.close()
            raise

    def _started(self, plan: Plan) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it ended already; so it will say nothing
            self._process.stdin.write(plan.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()  # and stays open: its end is the child's
        for line in self._process.stdout:
            with suppress(ValueError):  # what a library prints
                if isinstance(said := json.loads(line), dict) and "address" in said:
                    return str(said["address"])
        raise RuntimeError("it ended before it listened")

    def ended(self) -> str | None:
        code = self._process.poll()
        return None if code is None else f"its process ended ({f'signal {-code}' if code < 0 else f'code {code}'})"

    def close(self) -> None:
        self._process.kill()  # it holds nothing that wants an orderly end
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def new_key() -> str:
    """Other users of the machine reach the loopback too."""
    return secrets.token_urlsafe(24)


def start_server(plan: Plan) -> Any:
    """xllamacpp's server in this process. Raises RuntimeError, without a reason, when it cannot load the model."""
    library = binding()
    return library.Server(_parameters(library, plan))


def await_loop(address: str, api_key: str) -> None:
    """Ask what goes through the server's queue: closed before its loop runs, xllamacpp would wait for ever."""
    with httpx.Client(headers={"Authorization": f"Bearer {api_key}"}, trust_env=False, timeout=60) as client:
        try:
            client.get(f"{address}/lora-adapters").raise_for_status()
        except httpx.HTTPError as error:
            raise ModelError(f"{address}: the engine does not answer ({error}); run the command again") from error


def _parameters(xllamacpp: Any, plan: Plan) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = plan.gguf
    parameters.n_ctx = plan.context * plan.sequences
    parameters.n_parallel = plan.sequences
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [plan.api_key]
    parameters.verbosity = 0
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.offline = True
    parameters.cache_ram_mib = 0  # llama.cpp would put up to 8 GB of old prompts aside
    if plan.threads:
        parameters.cpuparams.n_threads = plan.threads
    if plan.connections:
        parameters.n_threads_http = plan.connections
    if plan.f32:  # flash attention would round a float32 cache to float16 on its way
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.lora_init_without_apply = True
    loras = []
    for path in plan.loras:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path = path
        info.scale = 1.0
        loras.append(info)
    parameters.lora_adapters = loras
    return parameters


def binding() -> Any:
    """The module `xllamacpp`; it wants the OpenMP library, which a bare Debian lacks and torch brings along."""
    try:
        import xllamacpp
    except ImportError:
        import torch  # noqa: F401
        import xllamacpp
    return xllamacpp
