"""The process in which llama.cpp serves: a plan on its standard input, its address on its standard output.

It ends when its standard input does, which is when its parent ends, even by `kill -9`. Words to end (Ctrl-C in the
terminal, a stop of the whole service) are for the parent, which has answers to finish first.
"""

import json
import os
import signal
import sys

from .llamacpp_server import Plan, start_server


def main() -> None:
    for word in (signal.SIGINT, signal.SIGTERM):
        signal.signal(word, signal.SIG_IGN)
    told = sys.stdin.buffer
    plan = Plan.model_validate_json(told.readline())
    try:
        server = start_server(plan)
        sys.stdout.write(json.dumps({"address": str(server.listening_address)}) + "\n")
        sys.stdout.flush()
        while told.read(65536):
            pass
    except (RuntimeError, OSError):  # it does not load; or the parent ended while it did
        os._exit(1)
    os._exit(0)  # the server's own end may wait for requests, and for ever where its loop does not run yet


if __name__ == "__main__":
    main()
