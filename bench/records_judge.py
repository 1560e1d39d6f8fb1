"""The judge of records: a linear probe on frozen features, of single views and of a bag of patches."""

from typing import Any

from selftaught.commands.python import Run
from selftaught.judging.evaluate import evaluate
from selftaught.judging.result import Evaluation
from selftaught.judging.shown import BAG
from selftaught.run.layout import NEWEST
from selftaught.run.recipes import Evaluate
from selftaught.system.allocator import give_back

HOW: dict[str, Any] = {"probe": "linear", "repeats": 1, "pretrained": "none"}


def judged(run: Run, data: str) -> dict[str, float]:
    """Linear accuracy of frozen features of single views, and of what stands beside them."""
    single = run.evaluate(f"{data}/train", f"{data}/test", **HOW)
    names = {"trained": "linear", "untrained": "untrained", "pixels": "pixels"}
    return {names[row.features]: round(row.accuracy, 5) for row in single.rows}


def bag_of(run: Run, data: str) -> dict[str, float]:
    """Likewise of a bag of patches, beside raw pixels as they were judged before: a network would take as many passes.

    Raises OSError where the run has not been judged.
    """
    give_back()  # what an evaluation before this freed lies in pieces, and these features need it whole
    before = Evaluation.model_validate_json((run.folder / NEWEST).read_bytes())
    told = {"run": str(run.folder), "train": f"{data}/train", "test": f"{data}/test", "features": BAG, **HOW}
    pixels = [row for row in before.rows if row.features == "pixels"]
    (trained,) = (row for row in evaluate(Evaluate.parse(told), baselines=pixels).rows if row.features == "trained")
    return {BAG: round(trained.accuracy, 5)}
