"""Weights and an evaluation as they were when they were recorded: what must not change while code moves.

`python -m tests.test_golden` records them anew, which only a change of the mathematics is a reason for. On the
machine they were recorded on, and its like, the weights are the same bit for bit; on another one a sum may round
differently, so there the loss of every step is compared instead, within what rounding does to it.
"""

import json
import platform
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from threadpoolctl import threadpool_info

import selftaught

GOLDEN = Path(__file__).with_name("golden.json")
STEPS = 20
# Both families, both kinds of encoder and of data; a teacher, a queue, prototypes, a decoder.
METHODS = {
    "simclr": ("images", "test_resnet"),
    "byol": ("images", "test_resnet"),
    "moco": ("images", "test_resnet"),
    "swav": ("images", "test_resnet"),
    "rotation": ("images", "test_resnet"),
    "mae": ("images", "test_vit"),
    "dino": ("images", "test_vit"),
    "vicreg": ("rows", "mlp"),
}


def data(folder: Path, kind: str, seed: int) -> Path:
    """48 samples of two classes, without a codec between them and the network."""
    rng = np.random.default_rng(seed)
    y = np.arange(48) % 2
    if kind == "images":
        wave = np.where((np.arange(32)[None] + rng.integers(0, 8, 48)[:, None]) % 8 < 4, 200, 60)
        grey = np.where(y[:, None, None] == 0, wave[:, None, :], wave[:, :, None])
        x = (grey[..., None] + rng.normal(0, 20, (48, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    else:
        x = (rng.normal(0, 1, (48, 12)) + 2 * y[:, None]).astype(np.float32)
    file = folder / f"{kind}-{seed}.npz"
    np.savez(file, x=x, y=y)
    return file


def trained(folder: Path, method: str) -> Any:
    kind, encoder = METHODS[method]
    return selftaught.pretrain(
        data(folder, kind, 0),
        method=method,
        encoder=encoder,
        steps=STEPS,
        batch_size=16,
        precision="32-true",
        layout="contiguous",
        attention="plain",
        map=0,
        log_every=1,
        out=folder / method,
        **({"size": 16} if kind == "images" else {}),  # convolutions are nearly all that these runs cost
    )


def weights(run: Any) -> dict[str, torch.Tensor]:
    """All that the last checkpoint keeps of the network and the optimiser."""
    last = run.folder / "checkpoints" / (run.folder / "checkpoints" / "last").read_text().strip()
    files = ("model.safetensors", "optimizer.safetensors")
    return {f"{name}/{key}": tensor for name in files for key, tensor in sorted(load_file(last / name).items())}


def digest(tensors: dict[str, torch.Tensor]) -> str:
    """Of names, types and bytes."""
    found = blake2b(digest_size=16)
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def judged(folder: Path) -> dict[str, Any]:
    """An evaluation's numbers, of a run of SimCLR."""
    run = trained(folder, "simclr")
    found = run.evaluate(data(folder, "images", 1), data(folder, "images", 2), labels="4,100%", repeats=2)
    return found.model_dump(mode="json", include={"rows", "gains", "verdict", "verdicts", "copies"})


def machine() -> str:
    """What the last bit of a sum of torch's depends on."""
    return " ".join(
        [platform.machine(), told("model name"), torch.backends.cpu.get_cpu_capability(), torch.__version__]
    )


def judging_machine() -> str:
    """Likewise, of a sum of numpy's and scipy's: kernels are chosen by what a processor is, whatever its name."""
    kernels = {library.get("architecture") or "" for library in threadpool_info()} - {""}
    return " ".join([machine(), told("cpu family"), told("model\t"), *sorted(kernels)])


def told(about: str) -> str:
    """A line of what Linux knows of the processor."""
    cpu = Path("/proc/cpuinfo")
    return next((line for line in cpu.read_text().splitlines() if about in line), "") if cpu.exists() else ""


@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps_give_the_recorded_weights(method: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    run, before = trained(tmp_path, method), golden["runs"][method]
    losses = [line["loss"] for line in run.metrics()]
    assert len(losses) == STEPS and np.allclose(losses, before["losses"], rtol=1e-3)
    if machine() == golden["machine"]:
        assert digest(weights(run)) == before["digest"]


def test_an_evaluation_gives_the_recorded_numbers(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    found, before = judged(tmp_path), golden["evaluation"]
    assert len(found["rows"]) == len(before["rows"])
    for now, then in zip(found["rows"], before["rows"], strict=True):
        assert [now[key] for key in ("features", "probe", "labels")] == [
            then[key] for key in ("features", "probe", "labels")
        ]
        assert now["accuracy"] == pytest.approx(then["accuracy"], abs=0.1)  # a few of 48 samples may tip
    if judging_machine() == golden["judging_machine"]:
        known = [{key: now[key] for key in then} for now, then in zip(found["rows"], before["rows"], strict=True)]
        assert {**found, "rows": known} == before  # of rows more may be told than was then


def record() -> None:
    """Write golden.json anew."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        runs = {method: trained(Path(folder), method) for method in METHODS}
        kept = {
            method: {"digest": digest(weights(run)), "losses": [line["loss"] for line in run.metrics()]}
            for method, run in runs.items()
        }
    with TemporaryDirectory() as folder:
        evaluation = judged(Path(folder))
    golden = {"machine": machine(), "judging_machine": judging_machine(), "runs": kept, "evaluation": evaluation}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    record()
