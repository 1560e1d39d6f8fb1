"""The vocabulary of views that all kinds of data share; a kind brings a table of augmentations and makes the views."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any, ClassVar

from torch import Tensor

from selftaught.contracts.samples import MakeViews
from selftaught.system import components, randomness
from selftaught.system.errors import UsageError

FIXED = ("plain", "index")  # views without options


class Views(MakeViews):
    """Makes the views a method asks for."""

    AUGMENTATIONS: ClassVar[Mapping[str, Any]]  # of each kind of view, a dataclass whose fields are its options

    def __init__(
        self, names: Sequence[str], preparation: Any, options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        options = options or {}
        self.refuse_unknown({name: {} for name in names} | dict(options))
        self.names, self.preparation = tuple(names), preparation
        self.augmentations = {
            name: self._tuned(name, options.get(name, {})) for name in {*self.names, *options} - set(FIXED)
        }

    @classmethod
    def refuse_unknown(cls, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise UsageError where there is no such view, or none with such an option."""
        known = [*FIXED, *cls.AUGMENTATIONS]
        for name, chosen in options.items():
            if name not in known:
                raise UsageError(f"no view named {name!r}; {components.hint(name, known)}")
            if name not in FIXED:
                components.checked(f"view {name}", type(cls.AUGMENTATIONS[name]), chosen)
            elif chosen:
                raise UsageError(f"view {name} has no options, it is always made the same way")

    @classmethod
    def defaults(cls) -> dict[str, dict[str, Any]]:
        """The options of every kind of view with their defaults."""
        return {name: asdict(augmentation) for name, augmentation in cls.AUGMENTATIONS.items()}

    def preset(self, name: str) -> Any:
        """How a kind of view is made where the user says nothing."""
        return self.AUGMENTATIONS[name]

    def _tuned(self, name: str, options: Mapping[str, Any]) -> Any:
        preset = self.preset(name)
        return replace(preset, **components.checked(f"view {name}", type(preset), options))

    def size(self, name: str) -> tuple[int, ...]:
        """Of a view, without its channels."""
        size: tuple[int, ...] = self.preparation.size
        return size

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options as they are, for people."""
        return {name: asdict(made) for name, made in self.augmentations.items()}


class SingleViews(Views):
    """Views that are made one after the other."""

    def __call__(self, rows: Tensor, /, *raw: Tensor) -> tuple[Tensor, ...]:
        made = []
        for position, name in enumerate(self.names):
            with nullcontext() if name in FIXED else randomness.view(position):
                made.append(rows if name == "index" else self.made(name, *raw))
        return tuple(made)

    @abstractmethod
    def made(self, name: str, *raw: Tensor) -> Tensor:
        """One view of a batch."""
