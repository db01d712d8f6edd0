"""`python -m tests.infra.picture`: run a server under load, and draw its dashboard.

The real server with the default model, clients of the soak in acts that differ, Prometheus, and the
queries of infra/monitoring's dashboard. What is drawn is what Prometheus answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from engine.export.default_model import ensure_default_bundle
from engine.golden import GoldenSet
from tests.bench.environments import CACHE, PLOT
from tests.bench.machine import describe
from tests.bench.processes import HttpServer
from tests.bench.subjects import open_ours
from tests.infra.picture.panels import Run, answered
from tests.infra.prometheus import prometheus
from tests.infra.tools import ROOT
from tests.soak.tally import Tally
from tests.soak.traffic import (
    ADMIN_KEY,
    Client,
    Traffic,
    bad,
    batch,
    hasty,
    leaving,
    send,
    single,
)

_SCRAPE_SECONDS = 3
_INSTANCE = "server:8080"
_SEED = 3
_OPTIONS = (
    *("--admin-key", ADMIN_KEY, "--no-metrics-require-key", "--log-level", "warning"),
    *("--max-queue-tokens", "12000", "--max-body-bytes", "150000"),
)
_CROWD = 60


async def crowd(traffic: Traffic) -> None:
    """More than the queue takes, at once, every few seconds."""
    await asyncio.gather(*(traffic.ask(8) for _ in range(_CROWD)))
    await traffic.pause(2)


ACTS: tuple[tuple[str, float, tuple[Client, ...]], ...] = (
    ("a few clients", 0.2, (single, single)),
    ("more, and mistakes", 0.3, (*(single,) * 4, batch, bad, leaving)),
    ("more than it can compute", 0.25, (*(single,) * 4, *(batch,) * 6, crowd, hasty, bad)),
    ("a few clients again", 0.25, (single, single, batch)),
)
"""What happens, for which share of the time, and who sends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the acts and draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.picture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long the traffic lasts")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "dashboard.png")
    args = parser.parse_args(argv)
    if shutil.which("prometheus") is None:
        print("prometheus is not installed", file=sys.stderr)
        return 1
    PLOT.ensure()
    bundle = ensure_default_bundle()
    with (
        tempfile.TemporaryDirectory() as directory,
        open_ours("--model-path", str(bundle), *_OPTIONS, name="picture") as server,
    ):
        server.wait_until_ready()
        found = _observe(server, bundle, Path(directory), args.seconds)
    data = CACHE / "dashboard.json"
    data.write_text(json.dumps(found), "utf-8")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("draw.py")
    subprocess.run([PLOT.python, program, data, args.out], check=True)
    print("\n".join([str(found["caption"]), *found["notes"], f"{args.out}, from {data}"]))
    return 0


def _observe(server: HttpServer, bundle: Path, directory: Path, seconds: float) -> dict[str, Any]:
    with prometheus(
        server.port, directory, instance=_INSTANCE, scrape_seconds=_SCRAPE_SECONDS
    ) as monitor:
        tally, start = Tally(), time.time()
        acts = asyncio.run(_play(server, bundle, tally, seconds))
        panels = answered(monitor, Run(start, time.time(), _SCRAPE_SECONDS))
    about = describe()
    total = sum(tally.outcomes.values())
    return {
        "caption": (
            f"{acts[-1][1]:.0f} s of {server.model} on {about['cores']} cores, {about['cpu']}, "
            f"{time.strftime('%Y-%m-%d', time.gmtime())}: {total:,} requests, of which "
            + ", ".join(f"{count:,} {name}" for name, count in tally.outcomes.most_common())
        ),
        "acts": acts,
        "panels": panels,
        "notes": tally.notes,
    }


async def _play(
    server: HttpServer, bundle: Path, tally: Tally, seconds: float
) -> list[tuple[str, float]]:
    """Each act, and when it ended, in seconds since the start: the last answers take a while."""
    loop = asyncio.get_running_loop()
    start, ended = loop.time(), []
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}",
        timeout=120,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
    ) as client:
        traffic = Traffic(
            client=client,
            port=server.port,
            model=server.model,
            golden=GoldenSet.load(bundle / "golden.json").texts,
            tally=tally,
            random=random.Random(_SEED),  # noqa: S311 - the same traffic every time
            reload_seconds=seconds,
        )
        for name, share, clients in ACTS:
            print(f"{name}: {share * seconds:.0f} s ...", file=sys.stderr, flush=True)
            await send(traffic, share * seconds, clients)
            ended.append((name, loop.time() - start))
    return ended


if __name__ == "__main__":
    sys.exit(main())
