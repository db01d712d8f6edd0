"""The bundle that a command is about."""

from __future__ import annotations

import argparse

from engine.bundles import ensure_bundle
from engine.export.progress import to_stderr
from engine.model import ModelBundle


def add_bundle_argument(parser: argparse.ArgumentParser) -> None:
    """Declare it."""
    parser.add_argument(
        "bundle",
        nargs="?",
        metavar="BUNDLE",
        help="directory of a bundle (default: the default model's, made if need be)",
    )


def open_bundle(args: argparse.Namespace) -> ModelBundle:
    """Open it."""
    return ModelBundle.open(args.bundle or ensure_bundle(progress=to_stderr))
