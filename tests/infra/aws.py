"""A moto server over HTTP, to which stacks are deployed and from which they are read back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx2

from tests.functions.ports import free_port
from tests.infra.tools import until
from tests.processes import end

REGION = "us-east-1"
_SKIPPED = re.compile(r"No Moto CloudFormation support for (\S+)")


class FakeAws:
    """Clients of the server, and what it silently left out of stacks."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
        """A boto3 client."""
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        return boto3.client(  # type: ignore[call-overload]  # the service is not a literal
            service, endpoint_url=self.url, region_name=REGION, **keys
        )

    def skipped_types(self) -> set[str]:
        """Types of resources that moto lacks, and says CREATE_COMPLETE nevertheless."""
        return set(_SKIPPED.findall(self._log.read_text()))

    def deploy(self, name: str, template: Path, parameters: Mapping[str, str]) -> dict[str, str]:
        """Create a stack; its outputs."""
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=template.read_text("utf-8"),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}


@contextmanager
def fake_aws(directory: Path) -> Iterator[FakeAws]:
    """A moto server in a process of its own."""
    port = free_port()
    log = directory / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: httpx2.get(f"{url}/moto-api/data.json").status_code == 200, "moto starts")
        yield FakeAws(url, log)
    finally:
        end(process)
