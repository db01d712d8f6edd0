"""`python -m tests.bench`: measure, print a table, write results."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench import report
from tests.bench.context import Context
from tests.bench.environments import PLOT, UnavailableError
from tests.bench.machine import facts
from tests.bench.processes import program_path
from tests.bench.subjects import PEERS

PHASES = (
    *("latency", "overhead", "shares", "throughput", "precision", "fairness", "connections"),
    "memory",
)
_LONG_PHASE = "growth"
_RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the wanted phases; what is done is written even if the run is interrupted."""
    faulthandler.enable()
    given = list(sys.argv[1:] if argv is None else argv)
    args = _parse(given)
    phases = args.only or (*PHASES, *([_LONG_PHASE] if args.long else []))
    context = Context(args.rounds, args.quick, tuple(args.peers))
    about = facts(" ".join(["python -m tests.bench", *given]))
    stem = "bench" if not args.only else "-".join(phases)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that servers are ended, too.
    try:
        for phase in phases:
            importlib.import_module(f"tests.bench.phases.{phase}").run(context)
    except KeyboardInterrupt:
        context.figures.note("interrupted")
    finally:
        _write(context, about, args.out / stem)
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=(*PHASES, _LONG_PHASE), help="phases to run")
    parser.add_argument("--long", action="store_true", help="also 200,000 requests for growth")
    parser.add_argument("--rounds", type=int, default=5, help="times that all is measured")
    parser.add_argument("--quick", action="store_true", help="a third of the time for each load")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="who to compare")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="directory of the results")
    return parser.parse_args(argv)


def _write(context: Context, about: dict[str, str], stem: Path) -> None:
    found = report.text(context, about)
    print(found)
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".txt").write_text(found, "utf-8")
    json_file = stem.with_suffix(".json")
    json_file.write_text(json.dumps(report.as_json(context, about), indent=1) + "\n", "utf-8")
    if not report.throughputs(context.figures):
        return
    try:
        PLOT.ensure()
    except UnavailableError as exc:
        print(f"no plot: {exc}", file=sys.stderr)
        return
    command = [str(PLOT.python), str(program_path("draw_plot"))]
    subprocess.run([*command, str(json_file), str(stem.with_suffix(".png"))], check=True)


if __name__ == "__main__":
    sys.exit(main())
