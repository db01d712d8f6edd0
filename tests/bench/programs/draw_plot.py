"""The plot, in an environment of its own: matplotlib is needed for nothing else."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]  # in its own environment
from PIL import Image  # type: ignore[import-not-found]  # the same

_OURS = "ours"
_BARE = "mixed/bare"
_GROUPS = {
    "short/16/": ("a short query a request, 16 connections", "requests/s"),
    "mixed/16/": ("a text of mixed length a request, 16 connections", "texts/s"),
    "batch-32/1/": ("32 texts of mixed length a request, 1 connection", "texts/s"),
}
"""Beginning of the figures' names, what was sent, and what is counted."""
_NAMES = {
    _OURS: "Embellama, fp32",
    f"{_OURS}-int8": "Embellama, int8",
    f"{_OURS}-bf16": "Embellama, bf16",
    "infinity": "infinity",
    "llama_cpp": "llama_cpp.server, F32",
    "llama_cpp-q8_0": "llama_cpp.server, Q8_0",
    "sentence-transformers": "sentence-transformers\n(no server)",
    "bare": "ONNX Runtime in a loop\n(no server)",
}
_OUR_COLOUR, _OUR_FAST, _SERVER, _NO_SERVER = "#c2410c", "#fdba74", "#94a3b8", "#e2e8f0"
_BAR_INCHES, _GAP_INCHES, _TOP_INCHES, _FOOT_INCHES, _WIDTH_INCHES = 0.4, 0.55, 0.4, 0.85, 9.0
_DOTS_PER_INCH = 160
_PALETTE = 128


def main() -> None:
    """One panel a load: a bar is the median of the rounds, its whisker their range."""
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    groups = {prefix: _rows(document["figures"], prefix) for prefix in _GROUPS}
    bars = [len(rows) for rows in groups.values()]
    height = sum(bars) * _BAR_INCHES + (len(bars) - 1) * _GAP_INCHES + _TOP_INCHES + _FOOT_INCHES
    figure, axes = plt.subplots(
        len(groups),
        1,
        figsize=(_WIDTH_INCHES, height),
        gridspec_kw={"height_ratios": bars},
    )
    figure.subplots_adjust(
        left=0.23,
        right=0.93,
        top=1 - _TOP_INCHES / height,
        bottom=_FOOT_INCHES / height,
        hspace=_GAP_INCHES / (_BAR_INCHES * sum(bars) / len(bars)),
    )
    for pane, (prefix, rows) in zip(axes, groups.items(), strict=True):
        _draw(pane, *_GROUPS[prefix], rows)
    figure.text(0.02, 0.38 / height, _foot(document), fontsize=8.5, color="#475569", va="center")
    figure.savefig(sys.argv[2], dpi=_DOTS_PER_INCH)
    with Image.open(sys.argv[2]) as picture:
        small = picture.convert("RGB").quantize(_PALETTE, Image.Quantize.MAXCOVERAGE)
    small.save(sys.argv[2], optimize=True)


def _rows(figures: dict[str, Any], prefix: str) -> list[tuple[str, list[float]]]:
    """Names and rounds, ours first and then the fastest."""
    rows = {
        name.removeprefix(prefix): figure["rounds"]
        for name, figure in figures.items()
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
    }
    if _BARE.startswith(prefix.split("/", maxsplit=1)[0]) and _BARE in figures:
        rows["bare"] = figures[_BARE]["rounds"]
    return sorted(
        rows.items(),
        key=lambda row: (
            row[0] != _OURS,
            not row[0].startswith(_OURS),
            row[0] == "bare",
            -statistics.median(row[1]),
        ),
    )


def _draw(pane: Any, title: str, unit: str, rows: list[tuple[str, list[float]]]) -> None:  # noqa: ANN401 - matplotlib has no types here
    medians = [statistics.median(rounds) for _, rounds in rows]
    low = [median - min(rounds) for (_, rounds), median in zip(rows, medians, strict=True)]
    high = [max(rounds) - median for (_, rounds), median in zip(rows, medians, strict=True)]
    names = [_NAMES.get(name, name) for name, _ in rows]
    colours = [_colour(name, label) for (name, _), label in zip(rows, names, strict=True)]
    pane.barh(
        names,
        medians,
        xerr=[low, high],
        color=colours,
        height=0.72,
        error_kw={"ecolor": "#334155", "elinewidth": 1, "capsize": 2.5},
    )
    for place, median in enumerate(medians):
        pane.annotate(
            f"{median:,.0f}",
            (median + high[place], place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            weight="bold" if rows[place][0] == _OURS else "normal",
        )
    pane.invert_yaxis()
    pane.set_title(f"{unit}: {title}", fontsize=11, loc="left", weight="bold", color="#0f172a")
    pane.spines[["top", "right", "bottom"]].set_visible(False)
    pane.spines["left"].set_color("#94a3b8")
    pane.set_xticks([])
    pane.tick_params(axis="y", length=0, labelsize=9.5)
    pane.set_xlim(0, max(median + more for median, more in zip(medians, high, strict=True)) * 1.08)


def _colour(name: str, label: str) -> str:
    if name.startswith(_OURS):
        return _OUR_COLOUR if name == _OURS else _OUR_FAST
    return _NO_SERVER if "no server" in label else _SERVER


def _foot(document: dict[str, Any]) -> str:
    facts = document["facts"]
    return (
        "Longer is better. Bars are medians of "
        f"{document['rounds']} rounds, whiskers the lowest and the highest one.\n"
        f"all-MiniLM-L6-v2 on {facts['cores']} cores, {facts['cpu']}, {facts['date'][:10]}; "
        "the clients ran on the same cores.\n"
        f"Command: {facts['command']}"
    )


if __name__ == "__main__":
    main()
