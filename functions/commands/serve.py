"""`embellama serve`: every option of `Settings` is a flag."""

from __future__ import annotations

import argparse

from functions.options import add_model_argument, add_setting_flags
from functions.settings_sources import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one flag for each option, and the model without one."""
    add_model_argument(parser)
    add_setting_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    settings = load_settings(args)
    from functions.targets.server import serve  # after the settings, so a wrong one fails fast

    serve(settings)
    return 0
