"""AWS Lambda: settings -> engine -> handler, once per execution environment, at import.

The function's handler is `functions.targets.aws_lambda.handler`.
"""

from __future__ import annotations

from functions.aws.phases import Phases, process_age

_phases = Phases({"runtime": process_age()})

from functions.aws.start import start  # noqa: E402 - importing is the first phase to be timed

_phases.end("imports")
handler = start(_phases)
