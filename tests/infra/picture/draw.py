"""Draws the panels where the dashboard has them; in the plot's environment."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]  # in its own environment
from matplotlib.patches import FancyBboxPatch  # type: ignore[import-not-found]  # the same
from PIL import Image  # type: ignore[import-not-found]  # the same

_BACK, _PANEL, _EDGE, _TEXT, _FAINT = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e9196"
_COLOURS = (
    *("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9"),
    *("#8ab8ff", "#c4162a", "#96d98d", "#fa6400", "#e0b400", "#a352cc"),
)
_COLUMNS = 24
_ROW_INCHES, _WIDTH_INCHES, _DOTS_PER_INCH = 0.235, 11.5, 125
_TITLE, _TICKS, _LEGEND_LINE = 1.3, 0.75, 0.62
"""Heights of a panel's parts, in rows of the grid."""
_LEFT = 1.5
"""Columns of the grid that a panel's numbers take."""
_WIDE_NAME = 21
"""With more letters than these, a few names stand in two columns, and many in three, smaller."""
_FEW_NAMES = 4
_TABLE_COLUMNS = 2
_NOTE = (
    "Drawn from what Prometheus answered to the dashboard's queries; not a screenshot of Grafana. "
    "Series that stayed 0 are not named."
)
_SI = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def main() -> None:
    """Read what was answered, write the picture."""
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    panels = document["panels"]
    rows = max(place["y"] + place["h"] for place in (panel["gridPos"] for panel in panels)) + 3
    plt.rcParams.update({"font.size": 7.5, "text.color": _TEXT, "font.family": "DejaVu Sans"})
    figure = plt.figure(figsize=(_WIDTH_INCHES, rows * _ROW_INCHES), facecolor=_BACK)
    whole = figure.add_axes((0, 0, 1, 1))
    whole.set(xlim=(0, _COLUMNS), ylim=(rows, 0))
    whole.axis("off")
    for panel in panels:
        _draw(figure, whole, panel, document["acts"], rows)
    for line, text in enumerate((document["caption"], _acts(document["acts"]), _NOTE)):
        whole.text(0.15, rows - 2.2 + 0.75 * line, text, color=_FAINT, va="center")
    figure.savefig(sys.argv[2], dpi=_DOTS_PER_INCH, facecolor=_BACK)
    with Image.open(sys.argv[2]) as picture:
        opaque = picture.convert("RGB")
    opaque.save(sys.argv[2], optimize=True)


def _acts(acts: list[list[Any]]) -> str:
    return "Dotted lines part " + ", ".join(f"{name} (to {end:.0f} s)" for name, end in acts)


def _draw(figure: Any, whole: Any, panel: dict[str, Any], acts: list[list[Any]], rows: int) -> None:  # noqa: ANN401 - matplotlib has no types here
    x, y, width, height = (panel["gridPos"][name] for name in "xywh")
    if panel["type"] == "row":
        whole.text(x + 0.15, y + 0.6, panel["title"], fontsize=9.5, weight="bold", va="center")
        return
    box = FancyBboxPatch(
        (x + 0.08, y + 0.1),
        width - 0.16,
        height - 0.2,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=_PANEL,
        edgecolor=_EDGE,
        linewidth=0.8,
    )
    whole.add_patch(box)
    whole.text(x + 0.3, y + 0.7, panel["title"], fontsize=8.5, va="center")
    if panel["type"] == "stat":
        centre = (x + width / 2, y + height / 2 + 0.4)
        whole.text(
            *centre, _newest(panel), fontsize=22, color=_COLOURS[0], ha="center", va="center"
        )
    elif panel["type"] == "table":
        _table(whole, panel, x, y)
    else:
        below = _TICKS + _LEGEND_LINE * math.ceil(len(_names(panel)) / _name_columns(panel)) + 0.2
        inner = (
            (x + _LEFT) / _COLUMNS,
            1 - (y + height - below) / rows,
            (width - _LEFT - 0.3) / _COLUMNS,
            (height - _TITLE - below) / rows,
        )
        _lines(figure.add_axes(inner, facecolor=_PANEL), panel, acts, height - _TITLE - below)


def _newest(panel: dict[str, Any]) -> str:
    """The value that the run ended with."""
    points = [point for line in panel["series"] for point in line["points"] if point[1] is not None]
    return _writer(panel["unit"])(max(points)[1]) if points else "no data"


def _named(panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Series that the legend names: all of a panel that has only zeros, else those with more."""
    lively = [line for line in panel["series"] if any(value for _, value in line["points"])]
    return sorted(lively or panel["series"], key=lambda line: -max(_values(line), default=0))


def _names(panel: dict[str, Any]) -> list[str]:
    """What the legend says, with why the rest is missing."""
    return [*(line["name"] for line in _named(panel)), *panel["missing"]]


def _name_columns(panel: dict[str, Any]) -> int:
    return 2 if _has_wide_names(panel) and len(_names(panel)) <= _FEW_NAMES else 3


def _has_wide_names(panel: dict[str, Any]) -> bool:
    return any(len(name) > _WIDE_NAME for name in _names(panel))


def _values(line: dict[str, Any]) -> list[float]:
    return [value for _, value in line["points"] if value is not None]


def _table(whole: Any, panel: dict[str, Any], x: float, y: float) -> None:  # noqa: ANN401 - see above
    cells = [cell for row in panel["rows"] for cell in row.items()]
    for number, (name, text) in enumerate(cells):
        column, line = number % _TABLE_COLUMNS, number // _TABLE_COLUMNS
        left, middle = x + 0.35 + 3.5 * column, y + 1.6 + 0.75 * line
        whole.text(left, middle, name, color=_FAINT, va="center")
        whole.text(left + 1.3, middle, text if len(text) < 20 else f"{text[:12]}...", va="center")


def _lines(pane: Any, panel: dict[str, Any], acts: list[list[Any]], height: float) -> None:  # noqa: ANN401 - see above
    named = _named(panel)
    for line in panel["series"]:
        seconds = [at for at, _ in line["points"]]
        values = [float("nan") if value is None else value for _, value in line["points"]]
        colour = _COLOURS[named.index(line)] if line in named else _FAINT
        pane.plot(seconds, values, color=colour, linewidth=1.1)
        if len(named) == 1:
            pane.fill_between(seconds, values, color=colour, alpha=0.12, linewidth=0)
    for _, end in acts[:-1]:
        pane.axvline(end, color=_FAINT, linewidth=0.7, linestyle=":")
    top = panel["max"] or pane.get_ylim()[1]
    pane.set(xlim=(0, acts[-1][1]), ylim=(0, top * 1.04))
    _axes(pane, panel["unit"], top)
    _legend(pane, panel, height)


def _legend(pane: Any, panel: dict[str, Any], height: float) -> None:  # noqa: ANN401 - see above
    columns, width = _name_columns(panel), panel["gridPos"]["w"] - _LEFT - 0.3
    size = 5.9 if columns == 3 and _has_wide_names(panel) else 6.6
    colours = [*_COLOURS[: len(_named(panel))], *(_FAINT for _ in panel["missing"])]
    for number, (name, colour) in enumerate(zip(_names(panel), colours, strict=True)):
        row, column = divmod(number, columns)
        left = (0.35 - _LEFT) / width + 7.4 / width * column / columns
        down = -(_TICKS + _LEGEND_LINE * (row + 0.35)) / height
        pane.text(left, down, "━", color=colour, transform=pane.transAxes, va="center")
        pane.text(left + 0.05, down, name, fontsize=size, transform=pane.transAxes, va="center")


def _axes(pane: Any, unit: str, top: float) -> None:  # noqa: ANN401 - see above
    write = _writer(unit)
    if unit == "bytes":
        pane.yaxis.set_major_locator(plt.MultipleLocator(2 ** round(math.log2(top / 4))))
    else:
        pane.yaxis.set_major_locator(plt.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    pane.yaxis.set_major_formatter(lambda value, _: write(value))
    pane.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    pane.tick_params(colors=_FAINT, length=0, labelsize=6.5)
    pane.grid(color=_EDGE, linewidth=0.5)
    for spine in pane.spines.values():
        spine.set_visible(False)


def _writer(unit: str) -> Callable[[float], str]:
    """How Grafana writes a value of this unit, as nearly as a small picture needs."""
    if unit == "percentunit":
        return lambda value: f"{value * 100:.3g} %"
    if unit == "s":
        return _seconds
    if unit == "bytes":
        return lambda value: f"{value / 2**20:.0f} MiB"
    ending = {"reqps": " req/s", "short": "", "none": ""}.get(unit, unit.removeprefix("suffix:"))
    return lambda value: f"{_short(value)}{ending}"


def _seconds(value: float) -> str:
    if value >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def _short(value: float) -> str:
    for size, letter in _SI:
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
