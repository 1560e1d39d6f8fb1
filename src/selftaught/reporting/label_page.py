"""The page on which somebody labels: what it shows of a sample, and what it makes of each answer."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from selftaught.contracts import modality
from selftaught.contracts.samples import Samples
from selftaught.judging.answering import Said
from selftaught.judging.labelling import Labelling
from selftaught.reporting.gallery import pictures
from selftaught.reporting.page import rendered
from selftaught.reporting.server import Answer, Server, Take, page_policy, told
from selftaught.system import sounds
from selftaught.system.errors import UsageError
from selftaught.system.pictures import data_uri
from selftaught.system.text import printable
from selftaught.training.looking.features import view_batches

LARGE = 640  # pixels of the longer side of what is asked about
LETTERS = 4000  # of a text
RATE, SECONDS = 16_000, 20  # of sound
SCRIPT = Markup((Path(__file__).parent / "templates" / "label.js").read_text(encoding="utf-8"))


class LabelPage:
    """One sitting on a page; of several that are open at once each is told how things stand with every answer."""

    def __init__(self, sitting: Labelling, title: str, command: str) -> None:
        """command: what to type next, with these labels."""
        self.sitting, self.title, self.command = sitting, title, command
        self.ended = False  # whether somebody has said so on the page
        self._one_at_a_time = threading.Lock()

    def server(self, port: int) -> Server:
        """What serves the page at a port. Raises UsageError."""
        takes = {
            "/answer": self._taking(lambda said: self.sitting.answer(_rows(said), self._said(said))),
            "/pass": self._taking(lambda said: self.sitting.pass_over(_rows(said)[0])),
            "/back": self._taking(lambda said: self.sitting.take_back()),
            "/class": self._taking(lambda said: self.sitting.add_class(_text(said, "name"))),
            "/end": self._taking(lambda said: self._end()),
        }
        return Server.listening(port, {"/": self._page, "/state": lambda: told(self.state())}, takes)

    def state(self) -> dict[str, Any]:
        """How things stand: classes, counts, and the sample that is asked about with those most like it."""
        with self._one_at_a_time:
            return self._state()

    def _state(self) -> dict[str, Any]:
        sitting, samples = self.sitting, self.sitting.samples
        facts: dict[str, Any] = {
            "task": sitting.answers.task,
            "classes": [{"name": name, "count": count} for name, count in sitting.counts().items()],
            "labelled": len(sitting.labels),
            "of": samples.count,
            "range": sitting.summary() if sitting.answers.task == "number" else "",
            "back": sitting.can_take_back,
            "ended": self.ended,
            "command": self.command,
            "asked": None,
            "alike": [],
        }
        if self.ended or (pick := sitting.asked()) is None:
            return facts
        thought = sitting.thought(pick.row)
        guess = None if thought is None else [{"label": label, "sure": sure} for label, sure in thought]
        alike = sitting.alike(pick.row) if sitting.answers.in_one_stroke else []
        shown = zip(alike, _small(samples, alike), strict=True)
        facts["asked"] = {"row": pick.row, "name": printable(samples.keys[pick.row]), "guess": guess}
        facts["asked"] |= _large(samples, pick.row)
        facts["alike"] = [{"row": row, "name": printable(samples.keys[row]), **one} for row, one in shown]
        return facts

    def _taking(self, carry_out: Callable[[dict[str, Any]], None]) -> Take:
        def take(said: dict[str, Any]) -> Mapping[str, Any]:
            with self._one_at_a_time:
                carry_out(said)
                return self._state()

        return take

    def _said(self, said: dict[str, Any]) -> Said:
        if self.sitting.answers.task != "several":
            return _text(said, "label")
        labels = said.get("labels")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise UsageError("labels must be a list of classes")
        return labels

    def _end(self) -> None:
        self.ended = True

    def _page(self) -> Answer:
        page = rendered("label.html", title=self.title, task=self.sitting.answers.task, script=SCRIPT)
        return Answer(200, "text/html", page, page_policy(page, SCRIPT))


def _rows(said: Mapping[str, Any]) -> list[int]:
    rows = said.get("rows")
    if not isinstance(rows, list) or not rows or not all(type(row) is int for row in rows):
        raise UsageError("rows must be a list of numbers of samples")
    return rows


def _text(said: Mapping[str, Any], name: str) -> str:
    text = said.get(name)
    if not isinstance(text, str):
        raise UsageError(f"{name} must be text")
    return text


def _large(samples: Samples, row: int) -> dict[str, str]:
    """What there is of a sample to see, to hear or to read."""
    kind = modality.named(samples.preparation.modality)
    if kind.snippets:
        return {"text": _texts(samples, [row])[0][:LETTERS]}
    if (sound := samples.heard(row, RATE)) is not None:
        heard = sounds.data_uri(sounds.levels_of(sound[: SECONDS * RATE]), RATE)
        return {"sound": heard, "picture": pictures(samples, [row], LARGE)[0]}
    if (seen := samples.seen(row, LARGE)) is not None:
        return {"picture": data_uri(Image.fromarray(seen), "WEBP")}
    return {"picture": pictures(samples, [row], LARGE)[0]}


def _small(samples: Samples, rows: list[int]) -> list[dict[str, str]]:
    """The same of each of these, to be known at a glance."""
    if rows and modality.named(samples.preparation.modality).snippets:
        return [{"text": text[:120] + "…" * (len(text) > 120)} for text in _texts(samples, rows)]
    return [{"picture": picture} for picture in pictures(samples, rows)]


def _texts(samples: Samples, rows: list[int]) -> list[str]:
    kind, some = modality.named(samples.preparation.modality), samples.subset(np.array(rows, np.int64))
    assert kind.snippets
    return [text for x in view_batches(some) for text in kind.snippets(x, some.preparation)]
