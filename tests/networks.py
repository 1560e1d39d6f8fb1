"""The networks that tests train: as small as what they show allows, since a network is most of what a test costs."""

from typing import Any

from selftaught.system.components import Part

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
