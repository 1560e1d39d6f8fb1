"""What weights that others have taught tell of themselves: the network they are of, and the images it has seen."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from pydantic import TypeAdapter, ValidationError

from selftaught.run.quantities import Size
from selftaught.system.components import Part, short
from selftaught.system.errors import UsageError
from selftaught.system.reading import json_in
from selftaught.system.text import printable

TIMM = "timm"  # as a source: the weights that timm has for the network in question
GREY = 1  # channels

Values = tuple[float, ...]


@dataclass(frozen=True)
class Known:
    """Each is None where nothing tells it."""

    part: Part | None = None  # the network
    size: tuple[int, int] | None = None  # of images (height, width)
    mean: Values | None = None  # a number a channel
    std: Values | None = None
    ours: bool = False  # whether a run has made them
    modality: str | None = None  # the kind of data of that run
    kept: bool = False  # whether that run has kept the statistics of batch norms that others had taken
    labelled: bool = False  # whether it is a classifier of somebody's labels

    def normalisation(self, channels: int) -> tuple[Values, Values] | None:
        """Mean and deviation for images of so many channels.

        Of colours that become grey it is their mean, as the weights of the first convolution become a sum.
        """
        if not self.mean or not self.std or len(self.mean) != len(self.std) or min(self.std) <= 0:
            return None
        if len(self.mean) == channels:
            return self.mean, self.std
        if GREY in (len(self.mean), channels):
            return tuple((sum(values) / len(values),) * channels for values in (self.mean, self.std))  # type: ignore[return-value]
        return None


def is_of_timm(source: str) -> bool:
    """Whether a source is the name of a model of timm's, such as resnet50 or vit_small_patch14_dinov2.lvd142m."""
    return not Path(source).exists() and timm.is_model(source)


def known_of(source: str, architecture: str) -> Known:
    """What is known of weights by their source: "timm" (of the architecture), a timm model, a folder, a file."""
    if source == TIMM or is_of_timm(source):
        cfg: Any = timm.get_pretrained_cfg(architecture if source == TIMM else source)
        told = {} if cfg is None else {"pretrained_cfg": cfg.to_dict(), "architecture": cfg.architecture}
    else:
        told = _config_of(source)
    cfg = told.get("pretrained_cfg")
    cfg = cfg if isinstance(cfg, dict) else {}
    shape, shown = cfg.get("input_size"), f"the config.json of {printable(source)}"
    size = _size_in(shape[1:], shown) if isinstance(shape, (list, tuple)) and len(shape) == 3 else None
    mean, std = (_values(cfg.get(name), f"{shown} has a {name}") for name in ("mean", "std"))
    own = told.get("selftaught")
    about = own if isinstance(own, dict) else {}
    kind, kept = about.get("modality"), about.get("statistics") == "init"
    kind = kind if isinstance(kind, str) else None
    return Known(_part_of(told), size, mean, std, own is not None, kind, kept, "prefixes" in about)


def _part_of(told: dict[str, Any]) -> Part | None:
    """The network of a config.json: as a run of ours recorded it, or as timm calls it, with the stem it has there."""
    with suppress(KeyError, TypeError, ValueError):
        return Part.model_validate(told["selftaught"]["encoder"])
    name = told.get("architecture")
    return Part(name=name, options={"stem": TIMM}) if isinstance(name, str) and timm.is_model(name) else None


def _size_in(given: Any, shown: str) -> tuple[int, int]:
    """Height and width. Raises UsageError where they are none that an image can have."""
    try:
        height, width = TypeAdapter(Size).validate_python(tuple(given))
    except ValidationError:
        raise UsageError(f"{shown} has an input_size of {short(list(given))}: correct it there") from None
    return height, width


def _values(given: Any, shown: str) -> Values | None:
    """A number a channel; None where there are none. Raises UsageError where one is not finite."""
    with suppress(TypeError, ValueError, OverflowError):
        values = tuple(float(value) for value in given)
        if all(map(math.isfinite, values)):
            return values
        raise UsageError(f"{shown} of {short(given)}: correct it there")
    return None


def folder_of(source: str) -> Path:
    """The folder that a source names, or that of a model.safetensors, whose config.json tells of it; else as it is."""
    path = Path(source)
    return path.parent if path.name == "model.safetensors" and not path.is_dir() else path


def _config_of(source: str) -> dict[str, Any]:
    """The config.json of a run, of a folder in timm's layout, or beside weights in one; nothing where there is none."""
    folder = folder_of(source)
    for file in (folder / "encoder/config.json", folder / "config.json") if folder.is_dir() else ():
        with suppress(OSError, ValueError):
            return json_in(file, dict[str, Any], links=True)
    return {}
