"""Environments of the peers: built on demand under .cache/bench, from locks with hashes.

torch comes first and by pip: which of its builds suits a machine is for pip's configuration to
say, so it has a version here and no hashes.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = (ROOT / ".cache").resolve() / "bench"
_LOCKS = ROOT / "infra" / "locks"
_PATIENCE_SECONDS = 3600


class UnavailableError(Exception):
    """A peer can't be had here; says why in one line."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own, so that nobody's pins hold back another's."""

    name: str
    torch: str | None = None

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return CACHE / self.name / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where its packages are, for the `PYTHONPATH` of another environment's interpreter."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return CACHE / self.name / "lib" / version / "site-packages"

    def ensure(self) -> None:
        """Build it, unless it was built from this lock.

        Raises:
            UnavailableError: a package can't be had, or can't be built.
        """
        lock = _LOCKS / f"bench-{self.name}.txt"
        wanted = f"torch {self.torch}\n{lock.read_text('utf-8')}"
        stamp = CACHE / self.name / "built-from.txt"
        if stamp.is_file() and stamp.read_text("utf-8") == wanted:
            return
        print(f"building the environment of {self.name}, once ...", file=sys.stderr, flush=True)
        venv.create(CACHE / self.name, with_pip=True, clear=True)
        if self.torch is not None:
            self._pip(f"torch=={self.torch}")
        self._pip("--no-deps", "--require-hashes", "--requirement", str(lock))
        stamp.write_text(wanted, "utf-8")

    def _pip(self, *arguments: str) -> None:
        command = [
            str(self.python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        try:
            done = subprocess.run(
                [*command, *arguments],
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise UnavailableError(f"{self.name}: installing took more than an hour") from exc
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise UnavailableError(f"{self.name}: {lines[0] if lines else 'pip failed'}")


_TORCH = "2.13.0"
INFINITY = Environment("infinity", torch=_TORCH)
LLAMA_CPP = Environment("llama-cpp")
SENTENCE_TRANSFORMERS = Environment("sentence-transformers", torch=_TORCH)
PLOT = Environment("plot")
K6 = Environment("k6")
OPENVINO = Environment("openvino")
"""No interpreter of its own is used: its packages are put before ours."""
