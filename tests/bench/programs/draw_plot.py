"""The plot, in an environment of its own: matplotlib is needed for nothing else."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt  # type: ignore[import-not-found]  # in its own environment

_GROUPS = {
    "short/16/": "short query, 16 connections\n(requests/s)",
    "mixed/16/": "mixed texts, 16 connections\n(texts/s)",
    "batch-32/1/": "batches of 32 mixed texts\n(texts/s)",
}
_BARE = "mixed/bare"


def main() -> None:
    """One panel a load: a bar is the median, its whisker the range of the rounds."""
    figures = json.loads(Path(sys.argv[1]).read_text("utf-8"))["figures"]
    panes, axes = plt.subplots(1, len(_GROUPS), figsize=(12, 3.2), constrained_layout=True)
    for pane, (prefix, title) in zip(axes, _GROUPS.items(), strict=True):
        rows = {
            name.removeprefix(prefix): figure["rounds"]
            for name, figure in figures.items()
            if name.startswith(prefix) and "/p" not in name
        }
        if prefix.startswith("mixed") and _BARE in figures:
            rows["bare runtime"] = figures[_BARE]["rounds"]
        names = sorted(rows, key=lambda name: statistics.median(rows[name]))
        medians = [statistics.median(rows[name]) for name in names]
        low = [middle - min(rows[name]) for name, middle in zip(names, medians, strict=True)]
        high = [max(rows[name]) - middle for name, middle in zip(names, medians, strict=True)]
        colours = ["#c2410c" if name == "ours" else "#94a3b8" for name in names]
        pane.barh(names, medians, xerr=[low, high], color=colours, capsize=3)
        pane.set_title(title, fontsize=10)
        pane.spines[["top", "right"]].set_visible(False)
    panes.savefig(sys.argv[2], dpi=110)


if __name__ == "__main__":
    main()
