"""What pre-training takes at 100 million and 10 billion images, foreseen by `selftaught plan`, and how far to trust it.

Writes the tables of docs/scale.md between their markers: those of cost, by the command itself, and one of its estimates
beside rates that others have published for training with labels (`rotation` shows an image four times to a network
with four classes, which is four such images). A few small steps of each network are measured on this machine's CPU.

    python bench/plans.py [--only published,costs]
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from selftaught.commands.flags import settings
from selftaught.commands.plan import plan
from selftaught.run.recipes import Planning
from selftaught.system.errors import UsageError
from selftaught.system.text import duration, filesize
from selftaught.training.scale import foreseeing
from selftaught.training.scale.outlook import Outlook

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "scale.md"
RECIPES = {"simclr_paper": "ResNet-50", "dino_paper": "ViT-S/16", "mae_paper": "ViT-B/16"}
BANKED = ("instance_discrimination_paper", "pirl_paper", "deepcluster_paper")
# Machines, devices of each, card, and how many times the paper's batch.
FLEETS = ((1, 8, "a100", 1), (1, 8, "h100", 1), (8, 8, "h100", 1), (64, 8, "h100", 1), (64, 8, "h100", 16))
COUNTS = {"100 million": 10**8, "10 billion": 10**10}
TIMM = "timm, results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv"
NVIDIA = "NVIDIA DeepLearningExamples, ConvNets/resnet50v1.5"
PUBLISHED = (  # card, network, images a second in training, source
    ("3090", "resnet18", 3481.78, TIMM),
    ("3090", "resnet50", 1218.01, TIMM),
    ("3090", "vit_tiny_patch16_224", 2299.56, TIMM),
    ("3090", "vit_small_patch16_224", 1057.92, TIMM),
    ("3090", "vit_base_patch16_224", 392.99, TIMM),
    ("a100", "resnet50", 2470.0, NVIDIA),
    ("v100", "resnet50", 356.0, f"{NVIDIA}, FP32"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="published,costs")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    foreseeing.cost_of = once(foreseeing.cost_of)
    for part in asked.only.split(","):
        rows = list({"published": published, "costs": costs}[part]())
        print("\n".join(rows), flush=True)
        between(part, rows)


def once(measure: Callable[..., Any]) -> Callable[..., Any]:
    """The same, measured once for each network and precision: its cost does not depend on the machines."""
    known: dict[str, Any] = {}

    def measured(asked: Any, trial: Any, timed: bool) -> Any:
        key = repr((asked.method, asked.encoder, asked.size, asked.views, asked.training, asked.way, timed))
        if key not in known:
            known[key] = measure(asked, trial, timed)
        return known[key]

    return measured


def between(name: str, rows: list[str]) -> None:
    """Put a table in its place on the page."""
    begin, end = f"<!-- {name}: made by bench/plans.py -->", f"<!-- end of {name} -->"
    page = PAGE.read_text()
    made = re.sub(
        rf"({re.escape(begin)}\n).*?({re.escape(end)})",
        lambda found: found[1] + "\n" + "\n".join(rows) + "\n\n" + found[2],
        page,
        flags=re.DOTALL,
    )
    PAGE.write_text(made)


def published() -> Iterator[str]:
    """Estimates beside what others have measured."""
    yield "| card | network | precision | published | estimated | | source |"
    yield "|---|---|---|--:|--:|--:|---|"
    for card, network, rate, source in PUBLISHED:
        how = {"method": "rotation", "encoder": network, "size": 224, "samples": 10**6, "batch_size": 8}
        outlook = plan(Planning.parse({**how, "card": card, "storage": "1TB"}))
        ours = 4 * outlook.speed.samples_per_second
        rates = f"{rate:,.0f}/s | {ours:,.0f}/s | {ours / rate:.2f}"
        yield f"| {card} | `{network}` | {outlook.precision} | {rates} | {source} |"


def costs() -> Iterator[str]:
    """What a pass over so many images takes."""
    head = ("recipe", "network", "machines", "batch", "images/s", "memory", "reading", "cores", "sending", "checkpoint")
    yield "| " + " | ".join(head) + " | " + " | ".join(COUNTS) + " |"
    yield "|---|---|---|" + "--:|" * (len(head) - 3 + len(COUNTS))
    for recipe, network in RECIPES.items():
        for nodes, devices, card, times in FLEETS:
            cells = row(recipe, nodes, devices, card, times)
            yield f"| `{recipe}` | {network} | {nodes} x {devices} {card} | " + " | ".join(cells) + " |"
    yield ""
    yield from refusals()


def row(recipe: str, nodes: int, devices: int, card: str, times: int) -> list[str]:
    """The cells of a recipe on such machines."""
    found = [foreseen(recipe, count, nodes, devices, card, times) for count in COUNTS.values()]
    first, sending = found[0], found[0].communication
    return [
        f"{first.batch_size:,}",
        f"{first.speed.samples_per_second:,.0f}",
        filesize(first.memory.total),
        f"{filesize(first.reading.bytes_per_second_machine)}/s",
        f"{first.reading.cores:,.0f}",
        f"{sending.share:.0%}, {sending.exposed_share:.0%} not hidden",
        f"{filesize(first.saving.bytes)}, {first.saving.seconds:.1f} s",
        *(f"{one.days:,.1f} days" if one.days >= 2 else duration(86_400 * one.days) for one in found),
    ]


def foreseen(recipe: str, count: int, nodes: int, devices: int, card: str, times: int = 1) -> Outlook:
    """What the command says; storage gives whatever is needed, as the table tells how much. Raises UsageError."""
    told = {name: value for name, value in settings(str(ROOT / f"recipes/{recipe}.yaml")).items() if name != "steps"}
    told |= {"epochs": 1, "samples": count, "nodes": nodes, "devices": str(devices), "card": card, "storage": "1TB"}
    return plan(Planning.parse({**told, "batch_size": times * told["batch_size"]}))


def refusals() -> Iterator[str]:
    """What cannot be, in the command's own words."""
    yield "| recipe | images | on 8 h100 |"
    yield "|---|---|---|"
    for recipe in BANKED:
        for name, count in COUNTS.items():
            try:
                said = f"{filesize(foreseen(recipe, count, 1, 8, 'h100').memory.banks)} of banks in every process"
            except UsageError as error:
                said = f"refused: {error}"
            yield f"| `{recipe}` | {name} | {said} |"


if __name__ == "__main__":
    main()
