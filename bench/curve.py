"""Draw the loss of a run, with the level of a network that has learnt nothing, as a picture for the documentation.

python bench/curve.py runs/hour/cifar10_hour-60 [--out docs/simclr.svg]
"""

import argparse
import re
from pathlib import Path

from selftaught.reporting.curves import line_chart
from selftaught.run import Run

ROOT = Path(__file__).parent.parent
SMOOTH = 5  # logged values to an average: a batch's loss is noisy
STYLE = """
svg { background: #fff; font: 13px system-ui, sans-serif } text { fill: #555 } .grid { stroke: #ddd }
.reference { stroke: #999; stroke-dasharray: 5 4 } .curve { fill: none; stroke-width: 2 }
:root { --series-0: #2463a5 }
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
    drawing = re.search(r"<svg.*</svg>", figure, re.DOTALL)
    assert drawing
    whole = drawing[0].replace("<svg", "<svg xmlns='http://www.w3.org/2000/svg'", 1)
    asked.out.write_text(whole.replace(">", f"><style>{STYLE}</style>", 1) + "\n")
    print(asked.out)


if __name__ == "__main__":
    main()
