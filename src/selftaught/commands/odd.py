"""What is odd among samples: what `judging/odd.py` finds, as lines, a table and a page."""

from torch import nn

from selftaught.commands.writing import refuse_taken, write
from selftaught.judging.odd import Labels, Oddities
from selftaught.judging.odd import odd as odd_of
from selftaught.reporting.gallery import Shelf, page_of, shelf
from selftaught.run.recipes import Odd
from selftaught.system.text import number_of, printable

COLUMNS = ("path", "odd", "score", "of", "label", "likely")
SHOWN = 5  # of each, on a terminal
GROUPS = 100  # of look-alikes, on the page


def odd(recipe: Odd, module: nn.Module | None = None) -> Oddities:
    """Look through samples, and write --out and --page where they are named. Raises UsageError and DataError."""
    refuse_taken(recipe)
    found = odd_of(recipe, module)
    rows = ([fact[name] for name in COLUMNS] for fact in found.facts)
    write(recipe, COLUMNS, rows, lambda: _page(recipe, found))
    return found


def lines(found: Oddities) -> list[str]:
    """Lines for people: how many are odd in which way, and the first of each."""
    counts, those = found.counts(), f"{found.data.samples.count:,} {found.data.kind.THINGS}"
    looks = "looks" if counts["alike"] == 1 else "look"
    titles = {
        "outlier": f"{number_of(counts['outlier'], 'outlier')} among {those}",
        "alike": f"{counts['alike']:,} of {those} {looks} just like another, in {number_of(len(found.alike), 'group')}",
        "label": _of_labels(found.labels) if found.labels else "",
    }
    told = []
    for name, title in titles.items():
        facts = [fact for fact in found.facts if fact["odd"] == name]
        told += [title] * bool(title)
        told += [f"  {fact['score']:.3g}  {printable(fact['path'])}{_said(fact)}" for fact in facts[:SHOWN]]
        told += [f"  ... and {len(facts) - SHOWN:,} more (--out FILE.csv lists all)"] * (len(facts) > SHOWN)
    return told


def _of_labels(labels: Labels) -> str:
    """How many labels are likely wrong, by how well a probe tells the others; or why nobody can say."""
    wrong, told = len(labels.suspects.rows), labels.telling
    said = f"{wrong:,} of {number_of(len(labels.rows), 'label')} {'is' if wrong == 1 else 'are'} likely wrong"
    if labels.doubt:
        return f"{said} by their look, but {labels.doubt}"
    return f"{said}; a probe tells {told.right:.0%} of them right, the commonest alone would be {told.commonest:.0%}"


def _said(fact: dict) -> str:
    if fact["odd"] == "alike":
        return f"  is like {printable(fact['of'])}"
    return f"  {printable(fact['label'])}, more like {printable(fact['likely'])}" if fact["odd"] == "label" else ""


def _page(recipe: Odd, found: Oddities) -> str:
    samples, scores = found.data.samples, found.scores
    shelves = [
        shelf(
            "Far from all others",
            "by how many deviations the distance to a neighbour is above the median"
            if len(found.outliers)
            else "none is",
            samples,
            [(row, f"{scores[row]:.1f}") for row in found.outliers.tolist()],
        )
    ]
    if found.labels:
        said = [
            (row, f"labelled {printable(given)}, more like {printable(likely)}: {worth:.2f}")
            for row, given, likely, worth in found.labels.told()
        ]
        shelves.append(shelf("Labels that are likely wrong", "the surest first", samples, said))
    groups = found.alike
    shelves += [_group(found, place, rows) for place, rows in enumerate(groups[:GROUPS], 1)]
    left = f"{len(groups) - GROUPS:,} more groups of look-alikes are in the table alone" if len(groups) > GROUPS else ""
    title = f"What is odd among {samples.count:,} {found.data.kind.THINGS} of {printable(recipe.data)}"
    notes = ["What is odd need not be wrong.", _of_labels(found.labels) + "." if found.labels else "", left]
    return page_of(title, [note for note in notes if note], shelves)


def _group(found: Oddities, place: int, rows: list[int]) -> Shelf:
    label = dict(enumerate(found.given))
    return shelf(
        f"Look just alike, {place}", "", found.data.samples, [(row, printable(label.get(row, ""))) for row in rows]
    )
