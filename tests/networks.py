"""The networks that tests train: as small as what they show allows, since a network is most of what a test costs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from selftaught.system.components import Part
from selftaught.system.telemetry import switch_off

NARROW = Part(name="test_resnet", options={"width": 8})
# Halves its maps at once, so that small images end in one cell: not for views of a part, nor for half precision.
HALVED = Part(name="test_resnet", options={"stem": "half"})
SHALLOW = Part(name="test_vit", options={"depth": 2, "width": 32})


def flags(network: Part) -> list[str]:
    """How a command is told of a network."""
    return ["--encoder", network.name, *(f"--encoder.{name}={value}" for name, value in network.options.items())]


def as_words(told: dict[str, Any]) -> list[str]:
    """How a command is told of settings, a network among them."""
    others = {name.replace("_", "-"): value for name, value in told.items() if name != "encoder"}
    return [*flags(told["encoder"]), *(f"--{name}={value}" for name, value in others.items())]


def onnx_answers(file: Path, samples: Tensor, output: str | None = None) -> NDArray[np.float32]:
    """What an ONNX file makes of images: this output, or its only one."""
    switch_off()
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(output and [output], {"images": samples.numpy()})
    return np.asarray(found)
