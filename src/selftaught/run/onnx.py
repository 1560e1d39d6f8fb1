"""An encoder or a classifier as ONNX, checked against the network before it appears."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import BEGIN, PADDING
from selftaught.system.errors import UsageError
from selftaught.system.files import replacing
from selftaught.system.interruption import poll

TOLERANCE = 1e-4  # largest deviation of an ONNX file's outputs, relative to the features' own spread


def to_onnx(encoder: nn.Module, file: Path, output: str = "features") -> float:
    """Write an encoder, or a classifier, as ONNX with a free batch size; the largest deviation of its outputs.

    It has the preparation of its samples on it; `output` is what its outputs are called.

    The file only appears once its outputs agree with the network's on random inputs of two batch sizes.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it, and says so less clearly
    except ImportError:
        raise UsageError("export to ONNX needs more packages: pip install 'selftaught[export]'") from None
    preparation: Any = encoder.preparation
    things = modality.named(preparation.modality).THINGS
    encoder = encoder.cpu().eval()
    draws = torch.Generator().manual_seed(0)

    def drawn(batch: int) -> torch.Tensor:
        """Samples such as there might be: of words, which are whole numbers, texts of any length."""
        shape, words = (batch, *preparation.shape), getattr(preparation, "words", 0)
        if not words:
            return torch.randn(shape, generator=draws)
        ends = torch.randint(1, shape[-1] + 1, (batch, 1, 1), generator=draws)
        made = torch.randint(BEGIN, words, shape, generator=draws)
        return made.masked_fill(torch.arange(shape[-1]) >= ends, PADDING)

    with replacing(file) as temporary:
        with torch.no_grad():
            torch.onnx.export(
                encoder,
                (drawn(2),),
                temporary,
                dynamo=True,
                external_data=False,
                input_names=[things],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
        poll()
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        deviation = 0.0
        for batch in (1, 5):
            samples = drawn(batch)
            with torch.no_grad():
                expected = encoder(samples)
            (outputs,) = session.run(None, {things: samples.numpy()})
            spread = expected.abs().max().clamp(min=1e-6)
            apart = float((torch.from_numpy(outputs) - expected).abs().max() / spread)
            deviation = max(deviation, apart if math.isfinite(apart) else math.inf)  # max() would pass over a NaN
        if deviation > TOLERANCE:
            raise UsageError(f"the ONNX file's outputs differ by {deviation:.2g} of the features' range; not written")
    return deviation
