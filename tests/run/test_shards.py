"""Checkpoints of several processes: whole or absent, and resumed by any number of them."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from selftaught.run import checkpoint, saved
from selftaught.run.layout import owned
from selftaught.run.rows import part
from selftaught.run.saved import rows_in, shape_in
from selftaught.system import lock as writer
from selftaught.system.ownership import owns
from tests.run.circles import Place, dealt, share, together, whole


def write(folder: Path, step: int, size: int) -> list[Any]:
    return together(size, lambda place: checkpoint.save(folder, step, share(step, place), {"n": step}, circle=place))


def read(folder: Path, place: Place) -> tuple[int, list[str]]:
    """The step that one of a circle goes on from, after comparing each of its rows."""
    groups, state, complaints = checkpoint.load_to_go_on(folder, place)
    for group, tensors in whole(state["step"]).items():
        assert groups[group].keys() == tensors.keys()
        for name, tensor in tensors.items():
            own = dealt(tensor, place.rank, place.size) if tensor.ndim else checkpoint.rows_of(tensor)
            found = rows_in(groups[group], name, own)
            assert found.dtype == tensor.dtype and torch.equal(found, own.held), name
            assert shape_in(groups[group], name) == tuple(tensor.shape)
    return state["step"], complaints


@pytest.mark.parametrize("writers", [1, 2, 4, 13])
def test_any_number_of_processes_goes_on_from_what_any_number_wrote(writers: int, tmp_path: Path) -> None:
    assert write(tmp_path, 5, writers) == [tmp_path / "step_0000005"] * writers
    for readers in (1, 2, 3, 4):
        assert together(readers, lambda place: read(tmp_path, place)) == [(5, [])] * readers
    groups, _, _ = checkpoint.load_newest(tmp_path)
    for name, tensor in whole(5)["model"].items():
        assert torch.equal(groups["model"][name], tensor), name


def test_the_manifest_says_where_every_row_lies(tmp_path: Path) -> None:
    write(tmp_path, 5, 4)
    step = tmp_path / "step_0000005"
    manifest = json.loads((step / "manifest.json").read_text())
    assert manifest.keys() == {path.name for path in step.iterdir()} - {"manifest.json"}
    assert manifest["model.2-of-4.safetensors"]["tensors"]["long"] == {
        "shape": [11, 3, 2],
        "dtype": "F32",
        "rows": [3, 6],
    }
    assert manifest["model.safetensors"]["tensors"] == {
        "count": {"shape": [], "dtype": "I64", "rows": [0, 1]},
        "none": {"shape": [0, 4], "dtype": "F32", "rows": [0, 0]},
    }
    files = {name: about["tensors"] for name, about in manifest.items() if "tensors" in about}
    held = {(file, name): tuple(x.shape) for file in files for name, x in load_file(step / file).items()}
    assert held.keys() == {(file, name) for file, parts in files.items() for name in parts}
    assert sum(shape[0] for (_, name), shape in held.items() if name == "long") == 11


def test_one_process_writes_what_it_always_wrote(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, whole(5), {})
    step = tmp_path / "step_0000005"
    manifest = json.loads((step / "manifest.json").read_text())
    assert list(manifest) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert all(about.keys() == {"bytes", "sha256"} for about in manifest.values())
    assert (step / "model.safetensors").read_bytes() == save(whole(5)["model"])


def test_only_the_rows_of_a_process_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int, int]] = []

    class Spied:
        def __init__(self, file: Path, framework: str) -> None:
            self.file, self.keys = file, (opened := safe_open(file, framework=framework)).keys
            self.opened = opened

        def get_slice(self, name: str) -> Any:
            held, file = self.opened.get_slice(name), self.file.name

            class Slice:
                get_shape, get_dtype = held.get_shape, held.get_dtype

                def __getitem__(self, rows: slice) -> Tensor:
                    read.append((file, rows.start, rows.stop))
                    return held[rows]

            return Slice()

    write(tmp_path, 5, 4)
    monkeypatch.setattr(saved, "safe_open", Spied)
    groups, _, _ = checkpoint.load_newest(tmp_path)
    assert isinstance(groups["model"], saved.Saved)
    assert torch.equal(groups["model"].rows("long", 4, 7), whole(5)["model"]["long"][4:7])
    assert read == [("model.2-of-4.safetensors", 1, 3), ("model.3-of-4.safetensors", 0, 1)]


@pytest.mark.parametrize("harm", ["missing", "flipped", "rows", "stray", "manifest"])
def test_all_pass_over_what_one_finds_damaged(harm: str, tmp_path: Path) -> None:
    for step in (1, 2):
        write(tmp_path, step, 4)
    file = tmp_path / "step_0000002/model.3-of-4.safetensors"
    manifest = file.parent / "manifest.json"
    facts = json.loads(manifest.read_text())
    if harm == "missing":
        file.unlink()
    elif harm == "flipped":
        file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
    elif harm == "stray":
        file.with_name("model.5-of-4.safetensors").write_bytes(file.read_bytes())
    elif harm == "rows":
        facts[file.name]["tensors"]["long"]["rows"] = [5, 8]
        manifest.write_text(json.dumps(facts))
    else:
        del facts[file.name]
        file.unlink()
        manifest.write_text(json.dumps(facts))
    for size in (1, 3):
        found = together(size, lambda place: read(tmp_path, place))
        assert {step for step, _ in found} == {1}, harm
        assert all("step_0000002 is damaged and was passed over" in line for _, (line,) in found)
        assert len({line for _, (line,) in found}) == 1  # all tell the same reason


def test_what_fails_in_one_process_fails_in_all_and_leaves_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, 3)
    own = checkpoint._write_tensors

    def full(tensors: Any, file: Path) -> None:
        if file.name == "model.2-of-3.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        own(tensors, file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_tensors", full)
        failed = write(tmp_path, 2, 3)
    assert [error.errno for error in failed] == [errno.ENOSPC] * 3 and "(process 1)" in str(failed[0])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["step_0000001"]
    write(tmp_path, 2, 3)
    tries: list[int] = []

    def full_once(tensors: Any, file: Path) -> None:
        if file.name == "model.2-of-3.safetensors" and not tries:
            tries.append(1)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        own(tensors, file)

    monkeypatch.setattr(checkpoint, "_write_tensors", full_once)
    write(tmp_path, 3, 3)  # the first made room
    assert [path.name[-1] for path in checkpoint.steps(tmp_path)] == ["2", "3"]
    assert together(3, lambda place: read(tmp_path, place)) == [(3, [])] * 3


def test_shards_are_ours_and_go_with_their_checkpoint(tmp_path: Path) -> None:
    half = tmp_path / f".step_0000001~{writer.host()}-1-0~0"  # whose process has ended
    half.mkdir()
    (half / "model.2-of-2.safetensors").write_bytes(b"half")
    for step in (1, 2, 3):
        write(tmp_path, step, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"step_0000002", "step_0000003", "last"}
    for file in (tmp_path / "step_0000003").iterdir():
        assert owns(owned(["checkpoints"]), f"checkpoints/step_0000003/{file.name}", is_folder=False)
    assert not owns(owned(["checkpoints"]), "checkpoints/step_0000003/mine.1-of-2.safetensors", is_folder=False)


def test_rows_are_dealt_out_as_torch_does() -> None:
    def sizes() -> Iterator[tuple[int, int]]:
        yield from ((count, size) for count in range(12) for size in range(1, 9))

    for count, size in sizes():
        chunks = [len(chunk) for chunk in torch.zeros(count, 1).chunk(size)] if count else []
        dealt_out = [end - begin for begin, end in (part(count, place, size) for place in range(size))]
        assert dealt_out == chunks + [0] * (size - len(chunks)), (count, size)
