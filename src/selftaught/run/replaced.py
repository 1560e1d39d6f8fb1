"""The samples that training has found to be broken and replaced, as a run folder keeps them: by number, to go on by."""

import json
from collections.abc import Sequence
from pathlib import Path

from selftaught.run.records import Replaced
from selftaught.system.files import append_line, spared
from selftaught.system.quarantine import add_to_quarantine
from selftaught.system.reading import json_lines
from selftaught.system.text import spelled

FILE, LARGEST = "replaced.jsonl", 4 << 30  # bytes of the file, of tens of millions

Broken = tuple[int, str, str]  # number, key and reason


def note_replaced(folder: Path, step: int, broken: Sequence[Broken]) -> None:
    """Add samples that were found up to a step, and add them to the list for people."""
    with spared("a part of the list of what is broken"):
        for row, key, reason in broken:
            line = {"step": step, "row": row, "path": spelled(key), "reason": reason}
            append_line(folder / FILE, json.dumps(line))
        add_to_quarantine(folder / "quarantine.csv", [(key, reason) for _, key, reason in broken])


def replaced_in(folder: Path) -> list[tuple[int, str]]:
    """Numbers and reasons of those that were noted."""
    return [(line["row"], line["reason"]) for line in json_lines(folder / FILE, Replaced, LARGEST)[0]]
