"""The precision ladder: what each rung gives and costs, in turn in each round."""

from __future__ import annotations

from contextlib import ExitStack

from engine.model import BundleFile, FileRole, ModelBundle
from tests.bench import texts
from tests.bench.context import Context
from tests.bench.environments import UnavailableError
from tests.bench.machine import memory_mb
from tests.bench.processes import Program
from tests.bench.subjects import open_program, rungs_bundle, with_openvino

_RUNGS = {"fp32": "onnx", "q8_0": "onnx", "int8": "onnx", "bf16": "openvino"}
_CHECKED = 128
_MB = 1e6


def run(context: Context) -> None:
    """Embed mixed texts with each precision of one bundle, each in a process of its own."""
    figures = context.figures
    try:
        bundle = ModelBundle.open(rungs_bundle())
        environment = with_openvino()
    except UnavailableError as exc:
        figures.note(f"the precision ladder is left out: {exc}")
        return
    with ExitStack() as stack:
        rungs: dict[str, Program] = {}
        for precision in _RUNGS:
            program = open_program(
                "precision_calls", str(bundle.directory), precision, environment=environment
            )
            rungs[precision] = stack.enter_context(program)
        for precision, program in list(rungs.items()):
            try:
                found = program.ask(alone=texts.mixed(_CHECKED))["difference"]
            except UnavailableError as exc:
                figures.note(f"{precision} is left out: {exc}")
                del rungs[precision]
            else:
                figures.add(f"precision/{precision}/batch-difference", found, "largest")
                _certified(context, bundle, precision)
        for number in range(context.rounds):
            context.begin_round("precision", number)
            for precision, program in rungs.items():
                sample = texts.mixed(256 if context.quick else texts.MIXED)
                seconds = program.ask(texts=sample)["seconds"]
                figures.add(f"precision/{precision}", len(sample) / seconds, "texts/s")
        for precision, program in rungs.items():
            figures.add(f"precision/{precision}/memory", memory_mb(program.pid), "MB (PSS)")


def _certified(context: Context, bundle: ModelBundle, precision: str) -> None:
    """What the bundle's certificate says, and the size of the file that is loaded."""
    stored = "fp32" if precision == "bf16" else precision
    graph = _file(bundle, FileRole.ONNX, stored)
    size = graph.bytes + _file(bundle, FileRole.ONNX_DATA, stored).bytes
    context.figures.add(f"precision/{precision}/file", size / _MB, "MB")
    certificate = bundle.manifest.certificate
    for row in () if certificate is None else certificate.files:
        if (row.path, row.backend) == (graph.path, _RUNGS[precision]):
            name = f"precision/{precision}"
            context.figures.add(f"{name}/min-cosine", row.min_cosine, "to the source")
            context.figures.add(f"{name}/mean-cosine", row.mean_cosine, "to the source")
            context.figures.add(f"{name}/top10", row.top10_agreement, "of ten neighbours")


def _file(bundle: ModelBundle, role: FileRole, precision: str) -> BundleFile:
    entry = bundle.manifest.file(role, precision)
    if entry is None:
        raise UnavailableError(f"{bundle.directory} has no {role.value} file in {precision}")
    return entry
