"""The machines that a run is planned for, and the data that it is to learn from: both may be elsewhere."""

from dataclasses import dataclass, replace

import torch

from selftaught.run.plan import Plan, Way
from selftaught.run.recipes import Planning
from selftaught.system.cards import Card, card_called, card_of, network_of
from selftaught.system.devices import called, device_of
from selftaught.system.errors import UsageError
from selftaught.training.measuring.speed import usual
from selftaught.training.measuring.trial import free_memory

# What stands for a machine without any card of ours: copies in its own memory, as gloo sends what stays on a machine.
COPIED = 5e9  # bytes a second
ETHERNET = "ethernet-10"


@dataclass(frozen=True)
class Source:
    """The samples, as a plan has to know them; bytes of one."""

    name: str
    things: str
    count: int
    files: bool  # whether they are to be decoded
    read: float  # as its file has it
    stored: float  # decoded
    key: float  # of its name


@dataclass(frozen=True)
class Fleet:
    """Machines that are alike, and what is known of their devices."""

    nodes: int
    devices: int  # of each machine, with a process each
    card: Card
    here: bool  # whether such a device is at hand, so that a measured time is theirs
    network: str
    storage: float  # bytes a second that each machine's gives
    rate: float | None  # samples a second that somebody has measured on one device

    @property
    def processes(self) -> int:
        """How many there are in all."""
        return self.nodes * self.devices

    @property
    def device(self) -> str:
        """The type of the devices: all cards that can be named are torch's "cuda"."""
        return self.card.name if self.card.name in ("cpu", "mps") else "cuda"

    @property
    def is_cpu(self) -> bool:
        """Whether processes share the cores of their machine."""
        return self.card.name == "cpu"


def fleet_of(recipe: Planning) -> Fleet:
    """The machines that a recipe names. Raises UsageError."""
    if recipe.devices == "all":
        raise UsageError("--devices all is of this machine: say how many each of those has that you plan for")
    own = _own(recipe)
    card = card_of(recipe.card) if recipe.card else own
    network = recipe.network or card.network
    network_of(network)  # refuses names that there are not
    devices = 1 if recipe.devices == "auto" else int(recipe.devices)
    return Fleet(recipe.nodes, devices, card, card.name == own.name, network, recipe.storage, recipe.rate)


def _own(recipe: Planning) -> Card:
    """The device at hand: a card of ours, or what can be said of another."""
    device = device_of(recipe.device)
    name = called(device)
    if (known := card_called(name)) is None:
        return Card(name, free_memory(device), None, 0.0, 0.0, COPIED, COPIED, ETHERNET, "this machine")
    return replace(known, memory=min(known.memory, float(torch.cuda.mem_get_info(device)[1])))


def way_on(fleet: Fleet, recipe: Planning, plan: Plan, known: Way | None) -> Way:
    """How the plan is computed there: as was fastest here, or in half precision where a card elsewhere has it.

    Raises UsageError for a precision that the card has not.
    """
    if fleet.here:
        return known or usual(recipe, plan)
    if plan.precision != "32-true" and (fleet.card.half is None or plan.precision == "64-true"):
        raise UsageError(
            f"--precision {plan.precision} cannot be foreseen on {fleet.card.name}; use --precision 32-true"
        )
    half = recipe.precision == "auto" and fleet.card.half is not None
    return plan.way._replace(precision="bf16-mixed" if half else plan.precision)
