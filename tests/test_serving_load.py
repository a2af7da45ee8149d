"""The load generator of `make bench-serving`: what goes wrong in it must not be blamed on the gateway."""

import asyncio

from wheelwork.benchmarks.serving_load import Reply, open_loop, question

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def load_on(idle: float, rate: float, seconds: float, broken: bool = False) -> list[Reply]:
    """The replies of a server that closes connections that say nothing for `idle` seconds, or hangs up at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not broken:
                async with asyncio.timeout(idle):
                    head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(ANSWER)
        except (TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        return await open_loop(port, rate, seconds, lambda number: question(port, f"question {number}"))


def test_a_connection_that_the_server_closed_while_it_was_idle_is_no_failed_reply() -> None:
    replies = asyncio.run(load_on(idle=0.05, rate=5, seconds=1))
    assert [reply.status for reply in replies] == [200] * 5


def test_a_server_that_hangs_up_is_a_failed_reply() -> None:
    replies = asyncio.run(load_on(idle=1, rate=20, seconds=0.5, broken=True))
    assert [reply.status for reply in replies] == [0] * 10
