"""A soak as a picture; in the plot's environment, as matplotlib is needed for nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt  # type: ignore[import-not-found]  # in its own environment

_PANES = (
    ("memory_mb", "memory, PSS (MB)"),
    ("threads", "threads"),
    ("descriptors", "file descriptors"),
)
_COLOURS = {
    "right": "#15803d",
    "refused": "#ca8a04",
    "rejected": "#94a3b8",
    "left": "#7c3aed",
    "wrong": "#dc2626",
    "failed": "#000000",
}
_SMOOTHED_SECONDS = 10


def main() -> None:
    """Outcomes a second, then what the process holds; grey lines are reloads."""
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    samples = document["samples"]
    minutes = [seconds / 60 for seconds in samples["seconds"]]
    figure, axes = plt.subplots(4, 1, figsize=(10, 8), sharex=True, constrained_layout=True)
    for name, colour in _COLOURS.items():
        total = sum(samples[name])
        label = f"{name} ({total:,})"
        axes[0].plot(minutes, _smoothed(samples[name]), color=colour, label=label, linewidth=1)
    axes[0].set_title("requests a second, by outcome", fontsize=10, loc="left")
    axes[0].legend(ncols=6, fontsize=8, frameon=False, loc="upper right")
    for pane, (name, title) in zip(axes[1:], _PANES, strict=True):
        pane.plot(minutes, samples[name], color="#1d4ed8", linewidth=1)
        pane.set_title(title, fontsize=10, loc="left")
        for at in document["reloads"]:
            pane.axvline(at / 60, color="#cbd5e1", linewidth=0.6, zorder=0)
    for pane in axes:
        pane.set_ylim(bottom=0)
        pane.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("minutes; vertical lines: the model was loaded anew")
    figure.savefig(sys.argv[2], dpi=100)


def _smoothed(counts: list[int]) -> list[float]:
    """The mean of the last few seconds."""
    windows = (counts[max(0, end - _SMOOTHED_SECONDS) : end] for end in range(1, len(counts) + 1))
    return [sum(window) / len(window) for window in windows]


if __name__ == "__main__":
    main()
