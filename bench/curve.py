"""Draw the loss of a run, with the level of a network that has learnt nothing, as a picture for the documentation.

python bench/curve.py runs/records/cifar10_hour-60-0 [--out docs/simclr.svg]
"""

import argparse
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from selftaught.commands.python import Run
from selftaught.reporting.charts import line_chart

ROOT = Path(__file__).parent.parent
LINE = 20  # pixels a name takes
SMOOTH = 5  # logged values to an average: a batch's loss is noisy
STYLE = """
svg { background: #fff; font: 13px system-ui, sans-serif } text { fill: #555 } .grid { stroke: #ddd }
.reference { stroke: #999; stroke-dasharray: 5 4 } .curve { fill: none; stroke-width: 2 }
:root { --series-0: #2463a5; --series-1: #c4622d; --series-2: #3f8050 }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/simclr.svg")
    asked = parser.parse_args()
    run = Run.open(asked.run)
    lines = run.metrics()
    points = []
    for first in range(0, len(lines) - SMOOTH + 1, SMOOTH):
        together = lines[first : first + SMOOTH]
        samples = together[-1]["step"] * run.recipe.batch_size / 1e6
        points.append((samples, sum(line["loss"] for line in together) / SMOOTH))
    chance = run.status["chance"]
    figure = line_chart(
        {"loss": points},
        title=f"{run.recipe.method.name}: loss over samples seen",
        x_label="million samples seen",
        y_label="loss",
        reference=("says the same of every sample", chance) if chance else None,
    )
    asked.out.write_text(as_picture(figure))
    print(asked.out)


def as_picture(figure: str, names: Sequence[str] = ()) -> str:
    """A page's figure as a file of its own, with the names of its series below it."""
    drawing = re.search(r"<svg.*</svg>", figure, re.DOTALL)
    assert drawing
    whole = drawing[0].replace("<svg", "<svg xmlns='http://www.w3.org/2000/svg'", 1)
    size = re.search(r"viewBox='0 0 (\d+) (\d+)'", whole)
    assert size
    width, height = int(size[1]), int(size[2])
    whole = whole.replace(size[0], f"viewBox='0 0 {width} {height + LINE * len(names)}'")
    told = "".join(
        f"<text x='60' y='{height + LINE * (i + 0.5):.0f}' style='fill:var(--series-{i})'>● {escape(name)}</text>"
        for i, name in enumerate(names)
    )
    whole = whole.replace("</svg>", told + "</svg>")
    return whole.replace(">", f"><style>{STYLE}</style>", 1) + "\n"


if __name__ == "__main__":
    main()
