"""GPUs and networks by name, as their makers' data sheets have them: what is planned for machines that are not here.

Peaks are dense and with sums in float32, as training has them: of a figure with sparsity it is half.
"""

import re
from dataclasses import dataclass

from selftaught.system.components import hint
from selftaught.system.errors import UsageError


@dataclass(frozen=True)
class Card:
    """A device and how it is usually connected; rates are bytes a second, one way."""

    name: str
    memory: float  # bytes
    half: float | None  # bf16 operations a second; None where there is no bf16
    single: float  # float32 operations a second, outside of tensor cores
    bandwidth: float  # of its memory
    link: float  # to the others of its machine
    host: float  # to its machine's memory
    network: str  # of its machine, a name of NETWORKS
    source: str


VARIANTS = {"laptop", "mobile", "max", "pcie", "nvl", "ti", "super", "d", "mig"}  # with other memory or rates
PCIE_3, PCIE_4, PCIE_5 = 16e9, 32e9, 64e9  # 16 lanes

CARDS = {
    card.name: card
    for card in (
        Card("h200", 141e9, 989e12, 67e12, 4.8e12, 450e9, PCIE_5, "8xndr", "NVIDIA H200 data sheet, SXM; DGX H200"),
        Card("h100", 80e9, 989e12, 67e12, 3.35e12, 450e9, PCIE_5, "8xndr", "NVIDIA H100 data sheet, SXM; DGX H100"),
        Card(
            "a100",
            80e9,
            312e12,
            19.5e12,
            2.039e12,
            300e9,
            PCIE_4,
            "8xhdr",
            "NVIDIA A100 data sheet, SXM 80 GB; DGX A100",
        ),
        Card(
            "a100-40gb",
            40e9,
            312e12,
            19.5e12,
            1.555e12,
            300e9,
            PCIE_4,
            "8xhdr",
            "NVIDIA A100 data sheet, SXM 40 GB; DGX A100",
        ),
        Card("l40s", 48e9, 362e12, 91.6e12, 864e9, PCIE_4, PCIE_4, "ethernet-100", "NVIDIA L40S data sheet"),
        Card("a10", 24e9, 125e12, 31.2e12, 600e9, PCIE_4, PCIE_4, "ethernet-100", "NVIDIA A10 data sheet"),
        Card("l4", 24e9, 121e12, 30.3e12, 300e9, PCIE_4, PCIE_4, "ethernet-100", "NVIDIA L4 data sheet"),
        Card("t4", 16e9, None, 8.1e12, 320e9, PCIE_3, PCIE_3, "ethernet-50", "NVIDIA T4 data sheet"),
        Card("v100", 32e9, None, 15.7e12, 900e9, 150e9, PCIE_3, "4xedr", "NVIDIA V100 data sheet, SXM2 32 GB; DGX-1"),
        Card(
            "4090",
            24e9,
            165.2e12,
            82.6e12,
            1.008e12,
            PCIE_4,
            PCIE_4,
            "ethernet-10",
            "NVIDIA Ada GPU architecture, RTX 4090",
        ),
        Card(
            "3090",
            24e9,
            71e12,
            35.6e12,
            936e9,
            PCIE_4,
            PCIE_4,
            "ethernet-10",
            "NVIDIA GA102 GPU architecture, RTX 3090",
        ),
    )
}
NETWORKS = {  # bits a second of a port, by its standard; efa: of an AWS machine
    **{f"ethernet-{gigabits}": gigabits * 1e9 for gigabits in (1, 10, 25, 50, 100, 200, 400)},
    "edr": 100e9,
    "hdr": 200e9,
    "ndr": 400e9,
    "efa-400": 400e9,
    "efa-3200": 3200e9,
}


def card_of(name: str) -> Card:
    """The card of this name. Raises UsageError."""
    if name not in CARDS:
        raise UsageError(f"--card {name!r} is not known; {hint(name, CARDS)}")
    return CARDS[name]


def card_called(device: str) -> Card | None:
    """The card that a driver calls by such a name: NVIDIA A100-SXM4-40GB; None where it is none of ours.

    Another one of the same name, slower or with other memory, is none of ours either, unless a card here has its word.
    """
    words = set(re.split(r"\W+", device.lower()))
    found = [name for name in CARDS if words.issuperset(name.split("-"))]
    card = CARDS[max(found, key=len)] if found else None
    return card if card and not any(_is_other(word, card) for word in words.difference(card.name.split("-"))) else None


def _is_other(word: str, card: Card) -> bool:
    """Whether a word of a driver's name says that a device is not this card, but a variant of it."""
    size = re.fullmatch(r"(\d+)gb", word)
    return word in VARIANTS or (size is not None and int(size[1]) * 1e9 != card.memory)


def network_of(name: str) -> float:
    """Bytes a second, one way, of a machine's network: ndr, or 8xndr for eight such ports. Raises UsageError."""
    ports, kind = named.groups() if (named := re.fullmatch(r"(?:(\d{1,3})x)?(.+)", name)) else (None, name)
    if kind not in NETWORKS:
        raise UsageError(f"--network {name!r} is not known; {hint(kind, NETWORKS)}, and 8xndr is eight of a kind")
    return int(ports or 1) * NETWORKS[kind] / 8
