"""Labelling in a browser: the sitting of `judging/labelling.py` on the page of `reporting/label_page.py`."""

import shlex
from collections.abc import Callable
from pathlib import Path

from selftaught.judging.labelling import begun
from selftaught.reporting.label_page import LabelPage
from selftaught.run.layout import is_classifier
from selftaught.run.recipes import Label
from selftaught.system.interruption import stopping
from selftaught.system.reading import yaml_in
from selftaught.system.saying import say
from selftaught.system.text import printable

TITLES = {
    "classes": "What are the {} of {}?",
    "several": "Which classes do the {} of {} have?",
    "number": "Which numbers do the {} of {} have?",
}


def label(recipe: Label, listening: Callable[[str], None]) -> None:
    """Serve the page until a signal, or its button; `listening` is told its address. Raises UsageError, DataError."""
    sitting = begun(recipe)
    run = yaml_in(Path(recipe.run) / "recipe.yaml").get("run", "RUN") if is_classifier(Path(recipe.run)) else recipe.run
    task = sitting.answers.task
    meant = [] if task == "classes" else ["--task", task]
    words = ["finetune", str(run), recipe.data, "--labels", recipe.out, *meant, "--out", "classifier"]
    command = printable(shlex.join(["selftaught", *words]))
    title = TITLES[task].format(sitting.choice.data.kind.THINGS, printable(_name(recipe.data)))
    page = LabelPage(sitting, title, command)
    with stopping() as stop, page.server(recipe.port) as server:
        listening(server.address)
        if recipe.open:
            server.show()
        while not stop.reason and not page.ended:
            server.handle_request()
    summary = sitting.summary()
    say(f"{len(sitting.labels):,} labels in {printable(recipe.out)}" + (f": {summary}" if summary else ""))
    say(f"next: {command}")


def _name(data: str) -> str:
    return data.rstrip("/").rpartition("/")[2] or data
