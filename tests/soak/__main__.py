"""`python -m tests.soak --minutes 10`: mixed traffic at one server, which has to stay the same."""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2

from engine.export.default_model import ensure_default_bundle
from engine.golden import GoldenSet
from tests.bench.environments import PLOT, UnavailableError
from tests.bench.processes import HttpServer
from tests.bench.subjects import open_ours
from tests.soak import report
from tests.soak.samples import Sample, Sampler, least
from tests.soak.tally import Tally
from tests.soak.traffic import ADMIN_KEY, Traffic, reload, send

_RESULTS = Path(__file__).parent / "results"
_WARM_UP_SHARE = 0.2
_WARM_UP_SECONDS = 60.0
_QUIET_SECONDS = 3.0
_RELOADS_AT_REST = 3
_RELOADS = 30
_SEED = 8
_OPTIONS = (
    *("--admin-key", ADMIN_KEY, "--max-queue-tokens", "6000", "--max-body-bytes", "150000"),
    *("--tokens-per-minute", "1000000000", "--log-level", "warning"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Send the traffic; 0 if nothing was wrong and nothing grew, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="directory of the results")
    args = parser.parse_args(argv)
    bundle = ensure_default_bundle()
    with open_ours("--model-path", str(bundle), *_OPTIONS, name="soak") as server:
        server.wait_until_ready()
        found = asyncio.run(soak(server, bundle, args.minutes * 60))
        server.check_alive()
    print(report.text(found))
    report.write(found, args.out / "soak.json", f"make soak MINUTES={args.minutes:g}")
    _draw(args.out / "soak.json")
    return 0 if all(bar.kept for bar in report.bars(found)) else 1


async def soak(server: HttpServer, bundle: Path, seconds: float) -> report.Found:
    """Warm up, look at the quiet server, go on, and look again."""
    tally = Tally()
    sampler = Sampler(server.pid, tally)
    golden = GoldenSet.load(bundle / "golden.json").texts
    reloads: list[float] = []
    first = min(_WARM_UP_SECONDS, seconds * _WARM_UP_SHARE)
    quiet = []
    for part in (first, seconds - first):
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", timeout=120, limits=_no_limits()
        ) as client:
            traffic = Traffic(
                client=client,
                port=server.port,
                model=server.model,
                golden=golden,
                tally=tally,
                random=random.Random(_SEED),  # noqa: S311 - the same traffic every time
                reload_seconds=seconds / _RELOADS,
                reloads=reloads,
            )
            looking = asyncio.create_task(sampler.keep_on())
            await send(traffic, part)
            looking.cancel()
            quiet.append(await _at_rest(sampler, traffic))
    return report.Found(
        tally, sampler.samples, quiet[0], quiet[1], [at - sampler.started for at in reloads]
    )


async def _at_rest(sampler: Sampler, traffic: Traffic) -> Sample:
    """The least that is held after some reloads.

    What the runtime keeps depends on the last requests, and how the rest lies in memory on chance:
    it is up to 6 MB more or less after the same traffic.
    """
    looks = []
    for _ in range(_RELOADS_AT_REST):
        await reload(traffic)
        looks.append(await sampler.quiet(_QUIET_SECONDS))
    return least(looks)


def _no_limits() -> httpx2.Limits:
    return httpx2.Limits(max_connections=None, max_keepalive_connections=None)


def _draw(document: Path) -> None:
    try:
        PLOT.ensure()
    except UnavailableError as exc:
        print(f"no plot: {exc}", file=sys.stderr)
        return
    program = Path(__file__).with_name("draw_plot.py")
    command = [PLOT.python, program, document, document.with_suffix(".png")]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
