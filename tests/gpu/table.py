"""How often the host waits for the card in a step of each method: docs/results/card_waits.md.

`python -m tests.gpu.table` takes the counts anew and keeps the first ones that the file has beside them.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gpu import trying
from tests.gpu.card import Waits

FILE = Path(__file__).parents[2] / "docs" / "results" / "card_waits.md"
HEAD = """# How often the host waits for the card

`python -m tests.gpu.table` counts it on the stand-in card (`tests/gpu/`), in the second step of each method: of images
with every change a view can have, and of rows. A wait is what keeps the host from queueing work ahead: a number that is
read, a copy to the host, a copy from memory that is not pinned, a size that depends on values. `views` are those while
the views of a batch are made, `step` those of the step itself, of which one is the guard's, which has to know whether
the loss and the gradient are finite before the weights move. No card was there: how long a wait takes is not known.

| method | data | views, first | step, first | views, now | step, now | where, now, beside the guard |
|---|---|--:|--:|--:|--:|---|
"""
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
    lines = []
    with TemporaryDirectory() as folder:
        for kind in ("images", "rows"):
            for name in trying.names(kind):
                found = trying.on_the_card(*trying.plan_of(name, kind, Path(folder)))
                now = (str(found.views.total()), str(found.step.total()))
                cells = (name, kind, *first.get((name, kind), now), *now, told(found.views + found.step))
                lines.append("| " + " | ".join(cells) + " |")
    FILE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    trying.ready()
    record()
