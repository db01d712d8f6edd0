"""What AWS Lambda tells a function about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MEGABYTES_PER_CPU = 1769
"""AWS Lambda developer guide, "Configure Lambda function memory": one vCPU at 1,769 MB."""
_DEFAULT_ROOT = "/var/task"


@dataclass(frozen=True, slots=True)
class LambdaEnvironment:
    """The reserved variables of an execution environment."""

    function_name: str
    memory_megabytes: int
    root: Path
    """Where the code lies, and beside it the default bundle."""
    initialization: str
    """on-demand, provisioned-concurrency or snap-start."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables; outside of Lambda, one CPU is assumed."""
        memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        return cls(
            function_name=environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"),
            memory_megabytes=int(memory) if memory.isdecimal() else MEGABYTES_PER_CPU,
            root=Path(environ.get("LAMBDA_TASK_ROOT", _DEFAULT_ROOT)),
            initialization=environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        )

    @property
    def cpus(self) -> float:
        """The share of CPUs that the memory size buys; below 1 the one CPU is throttled."""
        return self.memory_megabytes / MEGABYTES_PER_CPU

    def threads(self, available: int) -> int:
        """Threads for inference: the CPU share, rounded, and never more than can be used."""
        return max(1, min(round(self.cpus), available))
