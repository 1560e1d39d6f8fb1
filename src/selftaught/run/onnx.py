"""An encoder or a classifier as ONNX, for samples in batches of any size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selftaught.contracts import modality
from selftaught.run.agreeing import written
from selftaught.system.errors import UsageError
from selftaught.system.regular import kind_of
from selftaught.system.telemetry import switch_off
from selftaught.system.written import mark

MADE_BY, KIND = "made_by", "export"  # what a file says of itself, among its metadata
# Of a preparation that has them, there as JSON: all that tells how an image's values become what the network takes.
OF_SAMPLES = ("channels", "size", "canvas", "stored", "top", "ranged", "low", "high", "mean", "std")
APPLIED = {"temperature", "mean", "deviation"}  # of what a classifier's scores mean, which the file does itself


def to_onnx(encoder: nn.Module, file: Path, output: str = "features") -> float:
    """Write it, `output` being what its outputs are called; the largest deviation of them. Raises UsageError."""
    switch_off()
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it, and says so less clearly
    except ImportError:
        raise UsageError("export to ONNX needs more packages: pip install 'selftaught[export]'") from None
    preparation: Any = encoder.preparation
    things = modality.named(preparation.modality).THINGS

    def write(network: nn.Module, drawn: Callable[[int], Tensor], file: Path) -> None:
        program = torch.onnx.export(
            network,
            (drawn(2),),
            dynamo=True,
            input_names=[things],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program, "made by dynamo"
        program.model.metadata_props.update({MADE_BY: mark(KIND), **_about(network)})
        program.save(file, external_data=False)

    def read(file: Path) -> Callable[[Tensor], Tensor]:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda samples: torch.from_numpy(session.run(None, {things: samples.numpy()})[0])

    return written(encoder, file, write, read, (1, 5), "ONNX")


def _about(network: Any) -> dict[str, str]:
    """As JSON how samples are prepared and, of a classifier, its classes or labels, and how sure its answers are."""
    known = {name: getattr(network.preparation, name, None) for name in OF_SAMPLES}
    if meaning := getattr(network, "meaning", None):
        told = {name: value for name, value in meaning.told().items() if name not in APPLIED}
        known |= {"label_names": network.classes, **told}
    return {name: json.dumps(value) for name, value in known.items() if value not in (None, [], ())}


def is_ours(file: Path) -> bool:
    """Whether a file is what `to_onnx` writes."""
    try:
        import onnx
    except ImportError:
        return False
    try:
        facts = [] if kind_of(file) else onnx.load(file, load_external_data=False).metadata_props
    except Exception:  # of protobuf's own, where it is no model
        return False
    return any((one.key, one.value) == (MADE_BY, mark(KIND)) for one in facts)
