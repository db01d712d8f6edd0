"""What each middleware takes of a request."""

from __future__ import annotations

from tests.bench.context import Context
from tests.bench.programs.middleware_shares import ALL, NONE
from tests.bench.subjects import bundle_file, open_program

_CALLS = 100
_TURNS = 8


def run(context: Context) -> None:
    """Short turns, alternating between all variants; a share is the difference to all."""
    with open_program("middleware_shares", str(bundle_file("model.onnx").parent)) as program:
        variants = program.ask()["variants"]
        for variant in variants:
            program.ask(variant=variant, calls=_CALLS)
        for number in range(context.rounds):
            context.begin_round("shares", number)
            found: dict[str, list[float]] = {variant: [] for variant in variants}
            for _ in range(_TURNS):
                for variant in variants:
                    answer = program.ask(variant=variant, calls=_CALLS)
                    found[variant].append(answer["microseconds"])
            _add(context, found)


def _add(context: Context, found: dict[str, list[float]]) -> None:
    """The least of each variant: what else runs on the machine can only add to it."""
    least = {variant: min(values) for variant, values in found.items()}
    for variant, value in least.items():
        if variant in (ALL, NONE):
            context.figures.add(f"shares/{variant}", value, "us a request")
        else:
            context.figures.add(f"shares/{variant}", least[ALL] - value, "us a request")
