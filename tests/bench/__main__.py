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
from tests.bench.environments import PLOT, ROOT, UnavailableError
from tests.bench.machine import facts
from tests.bench.processes import program_path
from tests.bench.subjects import PEERS

PHASES = (
    *("latency", "overhead", "shares", "throughput", "precision", "fairness", "connections"),
    "memory",
)
_LONG_PHASE = "growth"
RESULTS = Path(__file__).parent / "results"
"""What is committed."""
PARTIAL_RESULTS = ROOT / "build" / "bench"
_ROUNDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the wanted phases; what is done is written even if the run is interrupted.

    Only a whole run that ends replaces the committed results, unless another place is asked for.
    """
    faulthandler.enable()
    given = list(sys.argv[1:] if argv is None else argv)
    args = parse(given)
    phases = args.only or (*PHASES, *([_LONG_PHASE] if args.long else []))
    context = Context(args.rounds, args.quick, tuple(args.peers))
    about = facts(" ".join(["python -m tests.bench", *given]))
    stem = "bench" if not args.only else "-".join(phases)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that servers are ended, too.
    done = False
    try:
        for phase in phases:
            importlib.import_module(f"tests.bench.phases.{phase}").run(context)
        done = True
    except KeyboardInterrupt:
        context.figures.note("interrupted")
    finally:
        _write(context, about, results_of(args, done=done) / stem)
    return 0


def results_of(args: argparse.Namespace, *, done: bool) -> Path:
    """The directory to write to. `done` is whether all that was wanted was measured."""
    if args.out is not None:
        return Path(args.out)
    is_whole = args.long and not args.only and not args.quick and args.rounds >= _ROUNDS
    return RESULTS if done and is_whole and set(PEERS) <= set(args.peers) else PARTIAL_RESULTS


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What is wanted; ends with 2 if that can't be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=(*PHASES, _LONG_PHASE), help="phases to run")
    parser.add_argument("--long", action="store_true", help="also 200,000 requests for growth")
    parser.add_argument(
        "--rounds", type=_positive, default=_ROUNDS, help="times that all is measured"
    )
    parser.add_argument("--quick", action="store_true", help="a third of the time for each load")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="who to compare")
    parser.add_argument(
        "--out",
        type=Path,
        help="directory of the results. By default tests/bench/results for a whole run (--long, "
        f"all phases and peers, {_ROUNDS} rounds or more, not --quick) that ends, and build/bench "
        "for any other, so that only a whole run replaces what is committed",
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


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
