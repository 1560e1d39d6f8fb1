"""Devices by name: what there is beside the CPU, and one line where a named one is not there."""

import torch

from selftaught.system.errors import UsageError

NAMES = ("auto", "cpu", "cuda", "mps")
REMEDY = "use --device cpu, or auto, which takes what is there"


def device_of(name: str) -> torch.device:
    """The device of this name; "auto" is a card where there is one, else the CPU. Raises UsageError."""
    if name not in NAMES:
        raise UsageError(f"--device cannot be {name!r}: it is one of {', '.join(NAMES)}")
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "mps") if _missing(kind) is None), "cpu"))
    if missing := _missing(name):
        raise UsageError(f"--device {name}: {missing}; {REMEDY}")
    return torch.device(name)


def _missing(kind: str) -> str | None:
    """Why there is no such device, or None."""
    if kind == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        return "torch finds no GPU, or no driver for it" if built else "this torch was built without CUDA"
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no GPU of Apple's" if torch.backends.mps.is_built() else "this torch was built without MPS"
    return None
