"""Bar charts as SVG, light and dark, written by hand: a picture needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_ROW: Final = 26
_LEFT: Final = 230
_WIDE: Final = 470
_RIGHT: Final = 130
_TOP: Final = 56

_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 16px; font-weight: 600 }
.note, .value { fill: #666 }
.ours { fill: #5b5bd6 } .other { fill: #b3b8c2 }
.ours.second { fill: #a3a3ef } .other.second { fill: #dcdfe5 }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .note, .value { fill: #aaa } .other { fill: #5c6370 }
  .other.second { fill: #3d424c } .ours { fill: #8585f0 } .ours.second { fill: #5353a8 }
}
"""


class Bar(NamedTuple):
    """One row: what is drawn, darker first, and whether it is about us."""

    label: str
    parts: Sequence[float]
    ours: bool


def draw(title: str, note: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from zero, all on one linear scale, each with its figures beside it."""
    most = max(sum(bar.parts) for bar in bars)
    height = _TOP + _ROW * len(bars) + 12
    rows = [_row(bar, _TOP + _ROW * place, most) for place, bar in enumerate(bars)]
    size = f"{_LEFT + _WIDE + _RIGHT} {height}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="12" y="22">{escape(title)}</text>',
        f'<text class="note" x="12" y="42">{escape(note)}</text>',
        *rows,
        "</svg>",
        "",
    ])  # fmt: skip


def _row(bar: Bar, top: int, most: float) -> str:
    kind = "ours" if bar.ours else "other"
    left = float(_LEFT)
    drawn = [f'<text x="{_LEFT - 10}" y="{top + 15}" text-anchor="end">{escape(bar.label)}</text>']
    for place, part in enumerate(bar.parts):
        width = max(1.0, _WIDE * part / most)
        second = " second" if place else ""
        drawn.append(
            f'<rect class="{kind}{second}" x="{left:.1f}" y="{top + 2}" width="{width:.1f}" '
            f'height="{_ROW - 8}" rx="2"/>'
        )
        left += width
    figures = " + ".join(figure(part) for part in bar.parts)
    drawn.append(f'<text class="value" x="{left + 8:.1f}" y="{top + 15}">{figures}</text>')
    return "".join(drawn)


def figure(value: float) -> str:
    """A number as people read it: three digits that count."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
