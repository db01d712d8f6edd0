"""`python -m tests.load`: send every load, print a table, write results."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.export.default_model import ensure_default_bundle
from tests.bench.environments import UnavailableError
from tests.load import cases, report
from tests.load.k6 import LoadError

_RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the wanted cases; 0 if all promises were kept, or none is judged, and 1 if not."""
    names = tuple(case.name for case in cases.CASES)
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="loads to send")
    parser.add_argument("--small", action="store_true", help="a few seconds each, no verdict")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="directory of the results")
    args = parser.parse_args(argv)
    bundle = ensure_default_bundle()
    found = []
    for case in cases.CASES:
        if case.name in args.only:
            print(f"{time.strftime('%H:%M:%S')} {case.title} ...", file=sys.stderr, flush=True)
            try:
                found.append(cases.run(case, bundle, is_small=args.small))
            except (UnavailableError, LoadError) as exc:
                print(f"{case.name}: not measured: {exc}", file=sys.stderr)
                return 1
    return tell(found, None if args.small else args.out)


def tell(found: Sequence[cases.Outcome], out: Path | None) -> int:
    """Print what was found; judge and keep it where there is a directory for results."""
    print(report.text(found, verdict=out is not None))
    if out is None:
        return 0
    report.write(found, _arguments(found), out / f"{_stem(found)}.json")
    return 0 if all(outcome.kept for outcome in found) else 1


def _stem(found: Sequence[cases.Outcome]) -> str:
    """Results of some of the cases only do not replace those of all; git ignores them."""
    if len(found) == len(cases.CASES):
        return "load"
    return "-".join(["partial", *(outcome.case.name for outcome in found)])


def _arguments(found: Sequence[cases.Outcome]) -> str:
    if len(found) == len(cases.CASES):
        return ""
    return f' ARGS="--only {" ".join(outcome.case.name for outcome in found)}"'


if __name__ == "__main__":
    sys.exit(main())
