"""A server with vLLM's routes, errors and habits, after its OpenAI frontend (entrypoints/openai and serve/lora).

It writes numbers that depend on adapter and prompt. As vLLM does, it reads adapters from a path of its own, knows them
by their names alone once they are loaded (prompts that it has read too), keeps `max_cpu_loras` of them in memory and
reads others again when they are asked for, and forgets those that came at run time when it is started again.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

UPDATING = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")


@dataclass
class MockVllm:
    """How the server was started, and what it has seen."""

    model: str = "base/model"
    root: str = ""
    version: str = "0.11.0"
    api_key: str = ""
    runtime_updating: bool = True
    enable_lora: bool = True
    max_cpu_loras: int = 4
    max_lora_rank: int = 16
    max_model_len: int = 512
    folders: dict[str, Path] = field(default_factory=dict)
    """Folders of the server by the names that it has for them; empty: it sees this machine's."""
    token_delay: float = 0.0
    dead: bool = False
    """Its engine has died: /health says 503, and every answer 500."""

    silent: float = 0.0
    """Seconds that /health takes."""

    url: str = ""
    adapters: dict[str, str] = field(default_factory=dict)
    """Names that /v1/models lists, with their paths."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    broken_off: int = 0
    """Streams and answers whose caller went away."""
    running: int = 0
    in_memory: dict[str, bytes] = field(default_factory=dict)
    read: dict[tuple[str, str], bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: set[socket.socket] = field(default_factory=set)

    def restart(self) -> None:
        with self.lock:
            self.adapters, self.in_memory, self.read = {}, {}, {}

    def weights(self, name: str) -> bytes:
        """Of a loaded adapter, the longest unused one making room."""
        digest = self.in_memory.pop(name, None)
        if digest is None:
            digest = hashlib.sha256(
                (self._folder(self.adapters[name]) / "adapter_model.safetensors").read_bytes()
            ).digest()
        self.in_memory[name] = digest
        while len(self.in_memory) > self.max_cpu_loras:
            del self.in_memory[next(iter(self.in_memory))]
        return digest

    def load(self, name: str, path: str) -> tuple[int, str, str]:
        """Status, type of the error, and what it says."""
        if not name or not path:
            return 400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided."
        if name in self.adapters:
            return 400, "InvalidUserInput", (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                "set 'load_inplace' to True."
            )  # fmt: skip
        if not self.enable_lora:
            return 500, "InternalServerError", "Call to add_lora method failed: LoRA is not enabled."
        folder = self._folder(path)
        if not (folder / "adapter_config.json").is_file():
            return 404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}"
        config = json.loads((folder / "adapter_config.json").read_text())
        if (rank := config["r"]) > self.max_lora_rank:
            return 500, "InternalServerError", (
                f"Call to add_lora method failed: LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
            )  # fmt: skip
        if config.get("use_dora"):
            return 500, "InternalServerError", "Call to add_lora method failed: vLLM does not yet support DoRA."
        self.adapters[name] = path
        self.weights(name)
        return 200, "", f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, name: str) -> tuple[int, str, str]:
        if name not in self.adapters:
            return 404, "NotFoundError", f"The lora adapter '{name}' cannot be found."
        del self.adapters[name]
        self.in_memory.pop(name, None)
        return 200, "", f"Success: LoRA adapter '{name}' removed successfully."

    def tokens(self, name: str, prompt: str, count: int) -> list[str]:
        """What it writes: from what it has read of the prompt under that name, where it has read it."""
        with self.lock:
            weights = b"" if name == self.model else self.weights(name)
            seen = self.read.setdefault((name, prompt), hashlib.sha256(weights + prompt.encode()).digest())
        return [f"{seen[at % len(seen)]} " for at in range(count)]

    def _folder(self, path: str) -> Path:
        if not self.folders:
            return Path(path)
        for name, folder in self.folders.items():
            if path.startswith(name + "/"):
                return folder / path.removeprefix(name + "/")
        return Path("/nonexistent")


@contextmanager
def mock_vllm(**started_with: Any) -> Iterator[MockVllm]:
    """A running server; `url` is its address without /v1."""
    mock = MockVllm(**started_with)

    class Handler(_Handler):
        vllm = mock

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        mock.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield mock
        finally:
            server.shutdown()
            for connection in list(mock.connections):  # those that are kept open
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vllm: MockVllm

    def setup(self) -> None:
        super().setup()
        self.vllm.connections.add(self.connection)

    def finish(self) -> None:
        self.vllm.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        if self.path == "/health":  # without a key, as /version and /metrics
            time.sleep(self.vllm.silent)
            return self._send(503 if self.vllm.dead else 200, b"", "text/plain")
        if self.path == "/version":
            return self._json({"version": self.vllm.version})
        if self.path == "/metrics":
            return self._send(200, self._metrics().encode(), "text/plain")
        if self._locked():
            return None
        if self.path == "/v1/models":
            return self._json({"object": "list", "data": self._cards()})
        return self._error(404, "Not Found", "Not Found")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._locked():
            return None
        if self.path in UPDATING and self.vllm.runtime_updating:
            with self.vllm.lock:
                if self.path == UPDATING[0]:
                    status, kind, says = self.vllm.load(asked.get("lora_name", ""), asked.get("lora_path", ""))
                else:
                    status, kind, says = self.vllm.unload(asked.get("lora_name", ""))
            return self._send(200, says.encode(), "text/plain") if status == 200 else self._error(status, kind, says)
        if self.path in ("/v1/chat/completions", "/v1/completions"):
            return self._complete(asked, chat=self.path.endswith("chat/completions"))
        return self._error(404, "Not Found", "Not Found")

    def _complete(self, asked: dict[str, Any], chat: bool) -> None:
        vllm, name = self.vllm, asked.get("model") or self.vllm.model
        vllm.asked.append(asked)
        if name != vllm.model and name not in vllm.adapters:
            return self._error(404, "NotFoundError", f"The model `{name}` does not exist.", "model")
        if vllm.dead:
            return self._error(500, "InternalServerError", "EngineCore encountered an issue. See stack trace above.")
        prompt = json.dumps(asked["messages"]) if chat else str(asked["prompt"])
        count, length = asked.get("max_tokens") or 16, len(prompt.split())
        if length + count > vllm.max_model_len:
            return self._error(400, "BadRequestError", (
                f"This model's maximum context length is {vllm.max_model_len} tokens. However, you requested {count} "
                f"output tokens and your prompt contains at least {length} input tokens. Please reduce the length of "
                "the input prompt or the number of requested output tokens."), "input_tokens")  # fmt: skip
        tokens = vllm.tokens(name, prompt, count)
        usage = {"prompt_tokens": length, "total_tokens": length + count, "completion_tokens": count}
        vllm.running += 1
        try:
            if asked.get("stream"):
                include = (asked.get("stream_options") or {}).get("include_usage")
                self._stream(name, tokens, usage if include else None, chat)
            else:
                self._whole(name, tokens, usage, chat, asked.get("n") or 1)
        except OSError:
            vllm.broken_off += 1
        finally:
            vllm.running -= 1

    def _whole(self, name: str, tokens: list[str], usage: dict[str, int], chat: bool, n: int) -> None:
        self._wait(len(tokens))
        text = "".join(tokens)
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choices = [{"index": at, **said, "logprobs": None, "finish_reason": "length"} for at in range(n)]
        self._json(
            self._frame(name, "chat.completion" if chat else "text_completion") | {"choices": choices, "usage": usage}
        )

    def _stream(self, name: str, tokens: list[str], usage: dict[str, int] | None, chat: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        frame = self._frame(name, "chat.completion.chunk" if chat else "text_completion")
        if chat:
            self._event(frame | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        for at, token in enumerate(tokens):
            self._wait(1)
            said: dict[str, Any] = {"delta": {"content": token}} if chat else {"text": token}
            finish = "length" if at == len(tokens) - 1 else None
            self._event(frame | {"choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}]})
        if usage is not None:
            self._event(frame | {"choices": [], "usage": usage})
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: Any) -> None:
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _wait(self, tokens: int) -> None:
        """Writing takes its time, and ends when the caller goes away."""
        until = time.monotonic() + tokens * self.vllm.token_delay
        while time.monotonic() < until:
            time.sleep(0.005)
            self.connection.setblocking(False)
            try:
                if self.connection.recv(1) == b"":
                    raise BrokenPipeError
            except BlockingIOError:
                pass
            finally:
                self.connection.setblocking(True)

    def _locked(self) -> bool:
        if self.vllm.api_key and self.headers.get("Authorization") != f"Bearer {self.vllm.api_key}":
            self._json({"error": "Unauthorized"}, 401)
            return True
        return False

    def _frame(self, name: str, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{time.monotonic_ns():x}", "object": kind, "created": int(time.time()), "model": name}

    def _cards(self) -> list[dict[str, Any]]:
        base = {"id": self.vllm.model, "object": "model", "owned_by": "vllm", "root": self.vllm.root or self.vllm.model,
                "parent": None, "max_model_len": self.vllm.max_model_len}  # fmt: skip
        return [base] + [
            {"id": name, "object": "model", "owned_by": "vllm", "root": path, "parent": self.vllm.model}
            for name, path in self.vllm.adapters.items()
        ]

    def _metrics(self) -> str:
        labels = f'{{engine="0",model_name="{self.vllm.model}"}}'
        return (
            "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{labels} {float(self.vllm.running)}\n"
            "# TYPE vllm:num_requests_waiting gauge\n"
            f"vllm:num_requests_waiting{labels} 0.0\n"
        )

    def _error(self, status: int, kind: str, says: str, param: str | None = None) -> None:
        self._json({"error": {"message": says, "type": kind, "param": param, "code": status}}, status)

    def _json(self, payload: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(payload).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
