from __future__ import annotations

import argparse

from functions.commands import serve
from functions.settings import Settings
from functions.settings_sources import load_settings


def test_it_takes_every_option() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    args = parser.parse_args(["--context-size", "8", "--port", "0"])
    assert load_settings(args) == Settings(context_size=8, port=0)
