"""What a run of tests ends with, compared bit for bit."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from selftaught.run import checkpoint

TINY = {  # of a run of few steps, saved after each, the same on every machine
    "batch_size": 8,
    "log_every": 1,
    "checkpoint_every": "1",
    "precision": "32-true",
    "layout": "contiguous",
}


def final_state(run: Path, steps: int) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint, which must be that of the last step."""
    last = checkpoint.named(run / "checkpoints", "last")
    assert last and checkpoint.load(last)[1]["step"] == steps
    return {f"{file.stem}/{name}": t for file in last.glob("*.safetensors") for name, t in load_file(file).items()}


def lost_bytes(run: Path, reference: Path, steps: int) -> int:
    """Bytes in which a run's last state differs from that of one that was never disturbed."""
    found, whole = final_state(run, steps), final_state(reference, steps)
    if found.keys() != whole.keys():
        return sum(tensor.nbytes for tensor in whole.values())
    return sum(whole[name].nbytes for name in whole if not torch.equal(whole[name], found[name]))
