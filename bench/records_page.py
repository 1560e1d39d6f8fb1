"""The table of records: entries by class of machine, with rivals and what stood before there were rules."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

PEER = "peer"
BEGIN, END = "<!-- entries -->", "<!-- end of entries -->"
CPU, GPU = "cpu", "gpu"


def page(text: str, rows: list[dict[str, Any]], hour: dict[str, Any], patches: dict[str, Any]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([before + BEGIN, "", *table(rows, hour, patches), "", END]) + after


def table(rows: list[dict[str, Any]], hour: dict[str, Any], patches: dict[str, Any]) -> list[str]:
    """A table for each class, the best first; rivals and older rows with that of CPUs, where they were made."""
    lines = []
    for name, title in ((CPU, "CPUs"), (GPU, "GPUs")):
        entries = [cells(own) for own in entries_of([row for row in rows if row["class"] == name])]
        entries += [*_older(hour), *_rivals(patches)] if name == CPU else []
        if entries:
            titles = ["entry", "linear", "bag", "untrained", "seeds", "minutes", "samples", "PFLOP", "machine"]
            lines += [f"### {title}", "", "| " + " | ".join(titles) + " |", "|---|" + "--:|" * 7 + "---|"]
            lines += ["| " + " | ".join(entry) + " |" for _, entry in sorted(entries, key=lambda e: -e[0])] + [""]
    return lines[:-1] or ["There are none yet."]


def entries_of(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows of one entry on one kind of machine together."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(json.dumps([row["entry"], row["processor"], row["cores"]]), []).append(row)
    return [*found.values()]


def cells(rows: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """By what an entry is ranked, and its cells: means, and in brackets from the least to the most of its seeds."""
    first, linear = rows[0], [row["linear"] for row in rows]
    bags = [row["bag"] for row in rows if "bag" in row]
    told = [first["entry"], _spread(linear), _spread(bags), f"{100 * np.mean([row['untrained'] for row in rows]):.1f}"]
    told += [str(len(rows)), f"{np.mean([row['seconds'] for row in rows]) / 60:.1f}"]
    told += [f"{np.mean([row['samples'] for row in rows]):,.0f}", f"{np.mean([row['pflop'] for row in rows]):.3g}"]
    return float(np.mean(linear)), [*told, f"{first['cores']} cores of {first['processor']}"]


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    mean, low, high = (100 * float(of(values)) for of in (np.mean, min, max))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})" if len(values) > 1 else f"{mean:.2f}"


def _older(hour: dict[str, Any]) -> Iterator[tuple[float, list[str]]]:
    """Rows of before there were rules: one seed, judged by five strengths on the encoder's own features.

    That of lightly's loop was never made by a bench: it holds what an hour of two cores came to, once.
    """
    for name, row in hour.items():
        if name.startswith(PEER):
            told = [f"lightly's SimCLR loop ({name})", f"{row['linear']:.2f}", "", "", "1", "60.0"]
            yield row["linear"] / 100, [*told, f"{row['samples']:,}", "", "2 cores"]
            continue
        told = [f"{name}, before there were rules", f"{row['linear, trained']:.2f}", ""]
        told += [f"{row['linear, untrained']:.1f}", "1", f"{row['seconds'] / 60:.1f}", f"{row['samples']:,}", ""]
        yield row["linear, trained"] / 100, [*told, f"{row['cores']} cores"]


def _rivals(patches: dict[str, Any]) -> Iterator[tuple[float, list[str]]]:
    """No network: k-means of patches (Coates and Ng, 2011), whose minutes are all that it takes."""
    for name, row in patches.items():
        told = [f"k-means of patches, {name}", f"{row['accuracy']:.2f}", "", "", "1", f"{row['seconds'] / 60:.1f}"]
        yield row["accuracy"] / 100, [*told, f"{row['images']:,}", "", f"{row['cores']} cores"]
