"""Samples of a few turns, and files written line by line."""

from pathlib import Path

from wheelwork.core.samples import Message, Role, Sample


def talk(*turns: tuple[Role, str], label: str | None = None) -> Sample:
    return Sample.make([Message(role=r, content=c) for r, c in turns], task="t", origin="import", label=label)


def lines_of(folder: Path, *lines: str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass"))
    return path


GOOD = '{"text": "a", "label": "b"}'
