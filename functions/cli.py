"""The command `embellama`: finds a subcommand and runs it. Imports only what that one needs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from engine.errors import EmbellamaError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class CommandModule(Protocol):
    """What the module of a subcommand has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its flags."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: where it is, and its line in the help."""

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "serve": Command("functions.commands.serve", "Serve a model over HTTP."),
    "info": Command("functions.commands.info", "Show what a model bundle is."),
    "export": Command("functions.commands.export", "Make a model bundle."),
    "verify": Command(
        "functions.commands.verify", "Measure whether a bundle computes its certified vectors."
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `embellama`; the exit code: 0 done, 1 failed, 2 a wrong option, 130 interrupted."""
    _open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        return _run_top_level(arguments)
    try:
        return _run_command(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _open_closed_streams() -> None:
    """Where the process was started without stdout or stderr, write to nowhere.

    Else the next file or socket gets that number, and what C++ libraries tell goes into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free number is that of the missing one.
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open as long as the process


def program() -> NoReturn:
    """The program `embellama`: its exit code is that of `main`."""
    if sys.argv[1:2] == ["serve"]:
        from functions.targets.signals import end_at_once_when_told

        end_at_once_when_told()
    code = main()
    from functions.background import end_process

    end_process(code)


def _run_command(name: str, arguments: list[str]) -> int:
    from engine.errors import EmbellamaError
    from functions.options import OptionParser

    command = cast("CommandModule", importlib.import_module(COMMANDS[name].module))
    parser = OptionParser(
        prog=f"embellama {name}", description=COMMANDS[name].help, allow_abbrev=False
    )
    try:
        command.add_arguments(parser)
        return command.run(parser.parse_args(arguments))
    except EmbellamaError as exc:
        sys.stderr.write(f"embellama {name}: {' '.join(exc.message.split())}\n")
        return _exit_code(exc)


def _exit_code(exc: EmbellamaError) -> int:
    from engine.errors import ConfigurationError

    return EXIT_USAGE if isinstance(exc, ConfigurationError) else EXIT_FAILURE


def _run_top_level(arguments: list[str]) -> int:
    """Everything but a subcommand: help, the version, a wrong word."""
    parser = argparse.ArgumentParser(
        prog="embellama",
        description="An OpenAI-compatible embeddings server.",
        epilog="embellama COMMAND --help lists the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, add_help=False)
    if parser.parse_args(arguments).version:
        from functions.version import version

        sys.stdout.write(f"embellama {version()}\n")
    else:
        parser.print_help()
    return 0


if __name__ == "__main__":
    program()
