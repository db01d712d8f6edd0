"""`embellama export SOURCE --output DIR`: make a bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.precisions import GGUF_PRECISIONS, ONNX_PRECISIONS
from engine.types import Pooling
from functions.commands.info import summary

if TYPE_CHECKING:
    from engine.export.options import ExportOptions

_NONE = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the source, the place, and what the bundle is to have."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a checkpoint, a GGUF file, an ONNX directory or a bundle: a path, ORG/NAME of the "
        "hub, or s3://BUCKET/PREFIX",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the new bundle")
    parser.add_argument("--force", action="store_true", help="replace the bundle that is there")
    _add_files(parser)
    parser.add_argument("--name", help="name of the model (default: what the source says)")
    parser.add_argument(
        "--pooling", choices=[row.value for row in Pooling], help="default: what the source says"
    )
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="scale vectors to length 1 (default: yes, unless the source says that its similarity "
        "counts lengths)",
    )
    parser.add_argument(
        "--max-input-tokens",
        type=_positive,
        metavar="N",
        help="tokens an input may have (default: what the source says)",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        type=_prompt,
        metavar="NAME=TEXT",
        help="a text that is put in front of an input by name; replaces the source's; repeatable",
    )
    parser.add_argument(
        "--default-prompt", metavar="NAME", help="the prompt of requests that name none"
    )
    parser.add_argument(
        "--matryoshka",
        action="append",
        type=_positive,
        metavar="N",
        help="a smaller number of dimensions that the model was trained for; repeatable",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    for kind, precisions in (("gguf", GGUF_PRECISIONS), ("onnx", ONNX_PRECISIONS)):
        parser.add_argument(
            f"--{kind}",
            action="append",
            metavar="PRECISION",
            help=f"precision of a {kind.upper()} file to make: {', '.join(precisions)}, or that of "
            f"the source, or none; repeatable (default: the most exact one, but q8_0 stays q8_0)",
        )


def run(args: argparse.Namespace) -> int:
    """Make the bundle and print what it is."""
    options = _options(args)
    from engine.export.progress import to_stderr

    try:
        from engine.export.exporter import export
    except ImportError as exc:
        from engine.errors import ConfigurationError

        raise ConfigurationError(
            f"Making a bundle needs the package {exc.name}: install the extra 'export'."
        ) from exc
    bundle = export(_local(args.source), args.output, options, to_stderr)
    sys.stdout.write(summary(bundle.directory, bundle.manifest))
    return 0


def _options(args: argparse.Namespace) -> ExportOptions:
    from engine.export.options import ExportOptions

    return ExportOptions(
        name=args.name,
        gguf=_precisions(args.gguf),
        onnx=_precisions(args.onnx),
        pooling=None if args.pooling is None else Pooling(args.pooling),
        normalize=args.normalize,
        max_input_tokens=args.max_input_tokens,
        prompts=None if args.prompt is None else dict(args.prompt),
        default_prompt_name=args.default_prompt,
        matryoshka_dimensions=None if args.matryoshka is None else tuple(args.matryoshka),
        force=args.force,
    )


def _precisions(wanted: list[str] | None) -> tuple[str, ...] | None:
    if wanted is None:
        return None
    return tuple(name for name in dict.fromkeys(wanted) if name != _NONE)


def _local(source: str) -> Path:
    """The path itself, or what the source's scheme fetches."""
    from engine.user_cache import expand_home

    path = expand_home(source)
    if path.exists():
        return path
    from engine.export.progress import to_stderr
    from engine.sources import resolve

    return resolve(source, progress=to_stderr)


def _prompt(text: str) -> tuple[str, str]:
    name, separator, prompt = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=TEXT")
    return name, prompt


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
