"""What a probe makes of each class, or of each of several labels, where one number hides it."""

import math

from rich.markup import escape
from rich.table import Table

from selftaught.judging.result import Detail, Evaluation, kinds
from selftaught.system.printing import folded
from selftaught.system.text import printable

WORST = 10  # classes that are shown in a terminal
TOLD = {  # by the measure that stands first: what is told of each class
    "balanced_accuracy": "found of each class, in per cent",
    "mAP": "average precision of each label, in per cent",
}

Shares = list[float | None]  # of each class; None where none was judged


def last_details(evaluation: Evaluation) -> list[Detail]:
    """Those of the probe whose verdict is the verdict, with the last number of labels."""
    details = [detail for detail in evaluation.details if detail.probe == evaluation.probe]
    return [detail for detail in details if detail.labels == details[-1].labels]


def shares_of(detail: Detail) -> Shares:
    """Of each class the share that is found; of several labels the average precision, of pixels the mean overlap."""
    return detail.average_precision or detail.iou or detail.recall


def worst(evaluation: Evaluation) -> Table | None:
    """The classes that this run is worst at, where classes differ so much that an accuracy hides them, or labels."""
    details = last_details(evaluation)
    own = next((detail for detail in details if detail.features == "trained"), None)
    if own is None or evaluation.measure not in TOLD:
        return None
    called, judged = kinds(evaluation.things), [i for i, share in enumerate(shares_of(own)) if share is not None]
    judged.sort(key=lambda i: shares_of(own)[i] or 0.0)
    most = f", the worst {WORST} of {len(judged)}" if len(judged) > WORST else ""
    title = f"{own.probe}, {own.labels}: {TOLD[evaluation.measure]}{most}"
    one = "label" if evaluation.measure == "mAP" else "class"
    shown = Table(one, *(escape(called[d.features]) for d in details), title=escape(title))
    for i in judged[:WORST]:
        # A name may look like markup: [/b] or weight [kg].
        name = escape(printable(evaluation.classes[i]))
        shown.add_row(name, *(in_points(shares_of(detail)[i]) for detail in details))
    return folded(shown)


def in_points(share: float | None) -> str:
    """For people; nothing where it is not known."""
    return "" if share is None or math.isnan(share) else f"{100 * share:.1f}"
