"""Tensors as they lie in a checkpoint: rows are read when they are asked for, out of files that are memory-mapped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from selftaught.run.records import Part
from selftaught.run.rows import CheckpointError, Rows
from selftaught.system.arrays import refuse_odd_weights
from selftaught.system.text import printable


@dataclass(frozen=True)
class Piece:
    """Rows of a tensor in one file, or all of it."""

    file: Any  # as safetensors has opened it
    begin: int
    end: int


class Saved(Mapping[str, Tensor]):
    """The tensors of a group by name; of one that lies in several files, the rows that are asked for are joined."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Piece]] = {}
        self._kinds: dict[str, tuple[tuple[int, ...], str]] = {}  # shape of the whole, and the type of its numbers

    def add(self, path: Path, parts: Mapping[str, Part] | None) -> None:
        """Take in what a file holds: whole tensors or, where it is said of which, parts."""
        refuse_odd_weights(path)
        file = safe_open(path, framework="pt")
        names = file.keys()  # it is no mapping
        for name in names:
            held = file.get_slice(name)
            shape = tuple(held.get_shape())
            rows = 0, shape[0] if shape else 1
            if parts is not None:
                shape, rows = _said(parts, name, shape, held.get_dtype())
            if self._kinds.setdefault(name, (shape, held.get_dtype())) != (shape, held.get_dtype()):
                raise CheckpointError(f"{printable(name)} has another shape or type in another file")
            self._pieces.setdefault(name, []).append(Piece(file, *rows))

    def closed(self) -> "Saved":
        """The same, when every row of every tensor is there, once."""
        for name, pieces in self._pieces.items():
            pieces.sort(key=lambda piece: (piece.begin, piece.end))
            ends = [0, *(piece.end for piece in pieces)]
            last = self.shape(name)[0] if self.shape(name) else 1
            if ends[:-1] != [piece.begin for piece in pieces] or ends[-1] != last:
                raise CheckpointError(f"not every row of {printable(name)} is there once")
        return self

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the whole tensor, of which nothing is read for that."""
        return self._kinds[name][0]

    def rows(self, name: str, begin: int, end: int) -> Tensor:
        """(end - begin, ...): no others are read."""
        held = [piece for piece in self._pieces[name] if piece.begin < end and begin < piece.end]
        held = held or self._pieces[name][:1]  # no rows have a shape and a type as well
        parts = [
            piece.file.get_slice(name)[max(begin - piece.begin, 0) : max(min(end, piece.end) - piece.begin, 0)]
            for piece in held
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def __getitem__(self, name: str) -> Tensor:
        pieces = self._pieces[name]
        if len(pieces) == 1:
            return pieces[0].file.get_tensor(name)
        return self.rows(name, 0, self.shape(name)[0])

    def __contains__(self, name: object) -> bool:
        return name in self._pieces  # nothing is read for that

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


def _said(
    parts: Mapping[str, Part], name: str, held: tuple[int, ...], kind: str
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Shape of the whole tensor and which rows of it these are, as the manifest has it.

    held, kind: the shape of the rows, and the type of their numbers, by the file itself.
    """
    if name not in parts:
        raise CheckpointError(f"its manifest does not cover {printable(name)}")
    said = parts[name]
    begin, end = said.rows
    rows = (end - begin, *said.shape[1:]) if said.shape else ()
    if held != rows or kind != said.dtype:
        raise CheckpointError(f"{printable(name)} has other rows than its manifest says")
    return tuple(said.shape), (begin, end)


def shape_in(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """The shape of a tensor, of which nothing is read where it lies on the disk."""
    return tensors.shape(name) if isinstance(tensors, Saved) else tuple(tensors[name].shape)


def rows_in(tensors: Mapping[str, Tensor], name: str, rows: Rows) -> Tensor:
    """Those rows of a saved tensor, or all of it."""
    if not rows.split:
        return tensors[name]
    if isinstance(tensors, Saved):
        return tensors.rows(name, rows.begin, rows.end)
    return tensors[name][rows.begin : rows.end]
