"""The card of an export: what Hugging Face reads at its head, and what a reader wants to know before using it."""

import shlex
from dataclasses import dataclass
from typing import Literal

import yaml

from ..engines.base import Adapter
from ..loops import Loop
from ..models.store import ModelFiles, catalogue
from ..report import markdown_table
from ..reporting.suites import SUITE_COLUMNS, suite_rows
from ..rounds import Report
from .agreement import Agreement

Format = Literal["peft", "merged", "gguf", "ollama"]
LIBRARIES = {"peft": "peft", "merged": "transformers", "gguf": "gguf", "ollama": "gguf"}
UNMEASURED = "The report of its round is not in MLflow, so its figures are not known here."


@dataclass(frozen=True)
class Source:
    """One version of a loop's adapter, and what is known of it."""

    loop: Loop
    ref: str
    """What the card calls the loop in commands: a whole path would say too much of the machine."""
    base: ModelFiles
    adapter: Adapter
    version: str
    verdict: str
    report: Report | None
    """Of the round that made it; None where MLflow has none."""
    asked: int | None = None
    """Samples that the round asked for."""
    changed: tuple[str, ...] = ()
    """What differs, in words, from when the version was measured."""

    @property
    def name(self) -> str:
        return f"{self.loop.name}-v{self.version}"


def card(
    source: Source, format: Format, options: str, files: list[str], check: Agreement | str, notes: list[str]
) -> str:
    """The README of an export, which was asked for with `options`; `check` is what was found, or why nothing was."""
    loop, base = source.loop, source.base
    head = yaml.safe_dump(_head(source, format), sort_keys=False, allow_unicode=True, width=200)
    listed = "\n".join(f"- `{file}`" for file in files)
    noted = "".join(f"\n{note}\n" for note in notes)
    return f"""---
{head}---

# {source.name}, as {format}

{loop.settings.description or f"The loop `{loop.name}`."}

Task `{loop.settings.task.kind}`: {loop.settings.task.instruction}

{listed}
{noted}
## What it is made from

| | |
|---|---|
| base | `{base.name}` |
| digest of the base | `{base.digest}` |
| adapter | version {source.version}, {source.verdict or "without a verdict"} |
| digest of the adapter | `{source.adapter.digest}` |

{_belongs(source, format)}

## Figures of its round

{_figures(source)}

## Does it answer as the original?

{_agreement(check)}

## Made again

```
{_commands(source, format, options)}
```
"""


def _head(source: Source, format: Format) -> dict[str, object]:
    known = catalogue().get(source.base.name)
    head: dict[str, object] = {"license": known.licence.lower()} if known else {}
    head |= {
        "base_model": source.base.name,
        "library_name": LIBRARIES[format],
        "pipeline_tag": "text-generation",
        "language": [source.loop.settings.language],
        "tags": ["wheelwork", "lora", source.loop.settings.task.kind],
    }
    return head


def _belongs(source: Source, format: Format) -> str:
    licence = "" if source.base.name in catalogue() else " Its licence is that of the base, which is not known here."
    if format == "peft":
        return f"It is an update of that base alone, by its digest, and useless on any other.{licence}"
    return f"The adapter is added to the weights of the base; nothing else is needed.{licence}"


def _figures(source: Source) -> str:
    if source.report is None:
        return UNMEASURED
    measured = "Measured by the loop's own engine on base and adapter; `candidate` is this adapter."
    return f"{markdown_table(SUITE_COLUMNS, suite_rows(source.report))}\n\n{measured}"


def _agreement(check: Agreement | str) -> str:
    if isinstance(check, str):
        return check
    rows = [[str(check.asked), f"{check.exact:.1%}", f"{check.tokens:.1%}", f"{check.characters:.1%}"]]
    columns = ["questions", "the same answer", "tokens before the first difference", "likeness of the texts"]
    return (
        f"{markdown_table(columns, rows)}\n\nGreedy answers of {check.exported} beside those of {check.original}, to "
        "questions of the loop's suites and seeds."
    )


def _commands(source: Source, format: Format, options: str) -> str:
    ref = shlex.quote(source.ref)
    lines = []
    if source.report is not None and source.asked is not None:
        lines.append(f"wheelwork improve {ref} --samples {source.asked} --seed {source.report.seed}")
    return "\n".join([*lines, f"wheelwork export {ref} --version {source.version} --format {format}{options}"])
