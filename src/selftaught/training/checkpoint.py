"""Checkpoints: safetensors and JSON, no pickle, complete or absent, and verified before they are trusted."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ..files import flush_folder, write_atomically, write_json

KEEP = 2  # checkpoints of a run, the newest

Groups = Mapping[str, Mapping[str, Tensor]]


class CheckpointError(ValueError):
    """A checkpoint is damaged or incomplete."""


def save(folder: Path, step: int, groups: Groups, state: Mapping[str, Any], keep: int = KEEP) -> Path:
    """Write `folder`/step_NNNNNNN with one safetensors file a group, and point `last` at it.

    Everything goes to a temporary neighbour first, is flushed to the disk and renamed; the manifest with sizes and
    SHA-256 is written last. All but the newest `keep` checkpoints are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".tmp-*"):
        shutil.rmtree(stale)
    temporary = folder / f".tmp-{step}-{os.getpid()}"
    temporary.mkdir()
    for name, tensors in groups.items():
        save_file(_stored(tensors), temporary / f"{name}.safetensors")
        _flush(temporary / f"{name}.safetensors")
    write_json(temporary / "state.json", {"step": step, **state})
    write_json(temporary / "manifest.json", {file.name: _facts(file) for file in sorted(temporary.iterdir())})
    final = folder / f"step_{step:07d}"
    if final.exists():
        shutil.rmtree(final)
    temporary.replace(final)
    flush_folder(folder)
    write_atomically(folder / "last", final.name + "\n")
    for old in steps(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step_*"))


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensor groups and the state of one checkpoint, after verifying every file against the manifest."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        for name, facts in manifest.items():
            if _facts(path / name) != facts:
                raise CheckpointError(f"{path / name} does not match its manifest")
        state = json.loads((path / "state.json").read_text())
        groups = {file.stem: load_file(file) for file in path.glob("*.safetensors")}
    except (OSError, ValueError, SafetensorError, AttributeError) as error:
        raise CheckpointError(str(error)) from error
    return groups, state


def load_newest(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    """The newest checkpoint that is whole, with a line for every newer one that is not.

    Raises CheckpointError if there is none.
    """
    complaints = []
    for path in reversed(steps(folder)):
        try:
            groups, state = load(path)
        except CheckpointError as error:
            complaints.append(f"checkpoint {path.name} is damaged and was passed over: {error}")
            continue
        return groups, state, complaints
    raise CheckpointError("; ".join(complaints) or f"no checkpoint in {folder}")


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model by name; a tensor that has several names is kept under the first."""
    seen: set[tuple[int, int]] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        identity = (tensor.data_ptr(), tensor.numel())
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        tensors[name] = tensor
    return tensors


def restore_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved values into the model's own storage, whose memory format stays; names must agree."""
    own = model_tensors(model)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise CheckpointError(f"the checkpoint holds another network; differing tensors: {', '.join(odd)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser, keyed by parameter name: `<parameter>|<entry>`."""
    return {
        f"{name}|{entry}": torch.as_tensor(value)
        for name, parameter in _named(optimizer)
        for entry, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back, in fresh storage with each parameter's own memory format."""
    parameters = dict(_named(optimizer))
    for key, value in tensors.items():
        name, entry = key.rsplit("|", 1)
        parameter = parameters[name]
        if value.shape == parameter.shape:
            fresh = torch.empty_like(parameter, dtype=value.dtype, memory_format=torch.preserve_format)
            value = fresh.copy_(value)
        optimizer.state[parameter][entry] = value


def _named(optimizer: Optimizer) -> Iterable[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _facts(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
