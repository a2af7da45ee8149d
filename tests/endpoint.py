"""An endpoint that speaks the OpenAI chat API on the loopback and answers as a test says."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = Callable[[dict[str, Any]], str | None]
"""From the body of a call to the reply; None refuses the call with HTTP 422, which no client tries again."""


@contextmanager
def endpoint(answer: Answer, model: str = "qwen3-32b") -> Iterator[str]:
    """The address of an endpoint that serves `model`, up to and with /v1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({"data": [{"id": model}]})

        def do_POST(self) -> None:
            said = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if said is None:
                self._answer({"error": {"message": "this one is too much"}}, 422)
            else:
                self._answer({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})

        def _answer(self, payload: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
