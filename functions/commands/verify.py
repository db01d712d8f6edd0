"""`embellama verify [BUNDLE]`: does this machine compute the certified vectors?"""

from __future__ import annotations

import argparse
import json
import sys

from pydantic import TypeAdapter

from engine.golden import AGAINST_QUANTISED, is_of_quantised
from engine.verify import FileReport, VerifyReport, verify
from functions.commands.bundle_argument import add_bundle_argument, open_bundle

_HEADER = ("file", "backend", "precision", "min cosine", "mean cosine", "max diff", "top-10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the bundle and the form of the answer."""
    add_bundle_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 if at least one file was checked and nothing failed, else 1."""
    report = verify(open_bundle(args))
    sys.stdout.write(_json(report) if args.json else _table(report))
    return 0 if report.passed else 1


def _json(report: VerifyReport) -> str:
    values = TypeAdapter(VerifyReport).dump_python(report, mode="json")
    return json.dumps({"passed": report.passed, **values}, indent=2) + "\n"


def _table(report: VerifyReport) -> str:
    against = f", {AGAINST_QUANTISED}" if is_of_quantised(report.reference) else ""
    rows = [(*_HEADER, "tolerance", "result"), *(_row(file, against) for file in report.files)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    ids = "as in the reference"
    if report.other_ids:
        ids = f"FAILED, they differ for: {', '.join(report.other_ids)}"
    return "\n".join(
        [
            f"space      {report.space}",
            f"reference  {report.reference}, {report.texts} texts",
            "hashes     all hold",
            f"token ids  {ids}",
            "",
            *lines,
            "",
            "passed" if report.passed else "FAILED",
            "",
        ]
    )


def _row(report: FileReport, against: str) -> tuple[str, ...]:
    start = (report.path, report.backend, report.precision)
    found = report.agreement
    if found is None:
        failed = f"FAILED: {report.error}" if report.error else f"not checked: {report.not_checked}"
        return (*start, "-", "-", "-", "-", "-", " ".join(failed.split()))
    return (
        *start,
        f"{found.min_cosine:.7f}",
        f"{found.mean_cosine:.7f}",
        f"{found.max_abs_diff:.1e}",
        f"{found.top10_agreement:.3f}",
        f"{found.tolerance}",
        _result(report, passed=found.passed) + against,
    )


def _result(report: FileReport, *, passed: bool) -> str:
    if not passed:
        return "FAILED"
    if report.refused:
        return f"FAILED: its certificate has {report.certified_cosine:.7f}, so it is not served"
    if report.certified_cosine is None:
        return "passed, but was not measured when the bundle was made"
    return "passed"
