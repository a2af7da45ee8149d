"""The funnel as a picture: a bar a filter, as long as what came in, its end in the colours of what went."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigError
from ...workspace import write_text
from .run import Filtered

WIDTH, LEFT, BAR, STEP, THICK, TOP = 1160, 170, 560, 58, 26, 64
KEPT, FLOW, INK, FAINT = "#2a6f97", "#d6e6ef", "#1b1f24", "#667079"
DROPS = ("#d1495b", "#edae49", "#8d5a97", "#66a182", "#b56576", "#c98b2b", "#7d8597", "#9c6644")
ENDINGS = (".svg", ".html", ".htm")


class Level(NamedTuple):
    """One bar: what is left at its beginning, and what goes there, by reason."""

    name: str
    rows: int
    drops: Sequence[tuple[str, int]]


def check_ending(path: Path) -> None:
    """Raises ConfigError for a name that is none of a picture."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: the picture's name must end in .svg or .html; rename it")


def write_picture(path: Path, result: Filtered, title: str) -> None:
    """Write the picture as SVG, or as a page that holds it; nothing in it is fetched from anywhere."""
    write_svg(path, picture(levels(result), title), title)


def write_svg(path: Path, svg: str, title: str) -> None:
    """Write an SVG as it is, or the page that holds it, by the ending of `path`."""
    check_ending(path)
    if path.suffix.lower() != ".svg":
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        svg = f'{head}<body style="margin:2em;background:#fff">{svg[svg.index("<svg") :]}</body></html>\n'
    write_text(path, svg)


def levels(result: Filtered) -> list[Level]:
    """The bars of a run, from what was read to what was kept."""
    away = [*result.rejected_before.items()] + [("quarantined", result.quarantined)] * bool(result.quarantined)
    found = [Level("read", result.rows, _sorted(away))]
    found += [Level(count.filter, count.rows_in, _sorted(count.dropped.items())) for count in result.filters]
    return [*found, Level("kept", result.kept, ())]


def picture(bars: Sequence[Level], title: str) -> str:
    """SVG; lengths are shares of the first bar, of which even a single row is a hair wide."""
    height = TOP + STEP * len(bars)
    most = max(1, bars[0].rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="14" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="20" y="32" font-size="18" font-weight="600">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        below = bars[number + 1].rows if number + 1 < len(bars) else None
        parts += _bar(bar, TOP + STEP * number, most, below)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Level, y: int, most: int, below: int | None) -> Iterator[str]:
    kept = bar.rows - sum(rows for _, rows in bar.drops)
    if below is not None:  # what goes on to the next bar
        width, middle = BAR * below / most, y + THICK
        yield f'<rect x="{LEFT}" y="{middle}" width="{width:.2f}" height="{STEP - THICK}" fill="{FLOW}"/>'
    yield f'<text x="{LEFT - 14}" y="{y + 18}" text-anchor="end">{escape(bar.name)}</text>'
    yield _piece(LEFT, y, BAR * kept / most, KEPT, f"{bar.name}: {kept:,} go on")
    x = LEFT + BAR * kept / most
    for number, (reason, rows) in enumerate(bar.drops):
        yield _piece(x, y, BAR * rows / most, DROPS[number % len(DROPS)], f"{reason}: {rows:,}")
        x += BAR * rows / most
    yield f'<text x="{LEFT + BAR + 16}" y="{y + 12}" font-weight="600">{bar.rows:,}</text>'
    yield f'<text x="{LEFT + BAR + 16}" y="{y + 29}" font-size="12" fill="{FAINT}">{_legend(bar.drops)}</text>'


def _piece(x: float, y: int, width: float, colour: str, said: str) -> str:
    if not width:
        return ""
    shape = f'<rect x="{x:.2f}" y="{y}" width="{max(width, 0.5):.2f}" height="{THICK}" fill="{colour}">'
    return f"{shape}<title>{escape(said)}</title></rect>"


def _legend(drops: Sequence[tuple[str, int]]) -> str:
    shown = [
        f'<tspan fill="{DROPS[number % len(DROPS)]}">■</tspan> {escape(reason)} {rows:,}'
        for number, (reason, rows) in enumerate(drops[:3])
    ]
    rest = drops[3:]
    return "  ".join(shown) + (f" and {len(rest)} more, {sum(rows for _, rows in rest):,}" if rest else "")


def _sorted(drops: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(drops, key=lambda item: (-item[1], item[0]))
