"""Fabric, told what half precision is for here: the network, and not what it is shown or asked."""

import logging
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision


class _HalfInside(MixedPrecision):
    """Autocast, without the rounding of views: targets are made from them, and edges (HOG) and colours would suffer."""

    def convert_input(self, data: Any) -> Any:
        return data


def fabric_of(precision: str) -> Fabric:
    """One device, a GPU where there is one, at `precision`: 32-true, bf16-mixed or 64-true."""
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # the plan already names the precision
    if precision != "bf16-mixed":
        return Fabric(accelerator="auto", devices=1, precision=precision)  # type: ignore[arg-type]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    device = accelerator.type if accelerator else "cpu"
    return Fabric(accelerator="auto", devices=1, plugins=[_HalfInside("bf16-mixed", device)])
