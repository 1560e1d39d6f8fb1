"""How often the host waits for the card in a step of each method: docs/results/card_waits.md.

`python -m tests.gpu.table` takes the counts anew and keeps the first ones that the file has beside them.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.gpu import trying
from tests.gpu.card import Waits
from tests.jobs import plan_of
from tests.methods.making import PAIRS

FILE = Path(__file__).parents[2] / "docs" / "results" / "card_waits.md"
HEAD = """# How often the host waits for the card

`python -m tests.gpu.table` counts it on the stand-in card (`tests/gpu/`), in the second step of each method on each
kind of data that it can be asked of, images with every change a view can have. A wait is what keeps the host from
queueing work ahead: a number that is read, a copy to the host, a copy from memory that is not pinned, a size that
depends on values. `views` are those while the views of a batch are made, `step` those of the step itself, of which one
is the guard's, which has to know whether the loss and the gradient are finite before the weights move. No card was
there: how long a wait takes is not known.

| method | data | views, first | step, first | views, now | step, now | where, now, beside the guard |
|---|---|--:|--:|--:|--:|---|
"""
TAIL = """
# What repeats no bits

`--deterministic` takes kernels that repeat every bit on a card, and none that do not: torch ends a run at the first
operation that has no such kernel (`torch.use_deterministic_algorithms`). By torch's list those below
are such, in steps of small networks, of the methods beside them; all other methods have none there. Resizing on the
way (bilinear) has a slower kernel that repeats, which is taken. Sums over several GPUs repeat on as many of them alone.
What is refused below is the resizing of learnt positions to views of another size, which every vision transformer that
learns them does: such views, as the small crops of multi-crop, take an encoder of another kind.

"""
# What torch.use_deterministic_algorithms says that it refuses on CUDA, by the names of operations below autograd.
REFUSED = re.compile(
    r"(adaptive_max_pool2d|_adaptive_avg_pool[23]d|fractional_max_pool[23]d|reflection_pad[123]d|grid_sampler_[23]d"
    r"|_?upsample_(linear1d|bilinear2d|bicubic2d|trilinear3d)(_aa)?)_backward\w*|max_unpool\w+|nll_loss2d_forward|histc|put_"
)
ROW = re.compile(r"\| (\w+) \| (\w+) \| (\d+) \| (\d+) \|")


def told(waits: Waits) -> str:
    """Where, for people."""
    return "; ".join(
        f"{kind} at {place} x{count}"
        for (kind, place), count in sorted(waits.items())
        if not place.startswith("training/guards.py")
    )


def record() -> None:
    """Write the table anew."""
    first = {found[:2]: found[2:] for found in ROW.findall(FILE.read_text())} if FILE.exists() else {}
    lines, refused = [], []
    with TemporaryDirectory() as folder:
        for name, kind in PAIRS:
            plan, samples = plan_of(name, kind, Path(folder))
            found = trying.on_the_card(plan, samples)
            steady = trying.on_the_card(plan.model_copy(update={"deterministic": True}), samples)
            if odd := sorted(filter(REFUSED.fullmatch, steady.operations)):
                refused.append(f"- {name}, {kind}: {', '.join(odd)}")
            now = (str(found.views.total()), str(found.step.total()))
            cells = (name, kind, *first.get((name, kind), now), *now, told(found.views + found.step))
            lines.append("| " + " | ".join(cells) + " |")
    FILE.write_text(HEAD + "\n".join(lines) + "\n" + TAIL + "\n".join(refused) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the tests have it: sums come in the same order
    record()
