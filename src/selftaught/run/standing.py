"""Where a run stands, in words: its step, the time it has left, and whether a process still works on it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selftaught.run.records import Status
from selftaught.system import clock
from selftaught.system.lock import may_be_written
from selftaught.system.reading import json_lines, json_object, yaml_in
from selftaught.system.text import duration, printable

GONE = "gone"  # of a run whose folder was moved or removed
ENDED = ("done", "failed", "diverged", GONE)  # states that nothing follows by itself
ENDINGS = {"preempted": "was stopped", "diverged": "diverged", "failed": "failed"}  # else it was killed
WRITTEN = ("metrics.jsonl", "status.json", "run.log", "recipe.yaml", "checkpoints")  # what shows that a run lives
RECENT, TAIL = 20, 1 << 16  # lines of the log that tell how fast a run is, and the bytes they are looked for in


@dataclass(frozen=True)
class Standing:
    """A run's state, as in status.json or `starting`, `abandoned`, `gone` or `unknown`, and what else is to be said."""

    name: str
    state: str
    line: str
    held: bool  # whether a process may be at work on it
    status: dict[str, Any] = field(default_factory=dict)  # what status.json holds

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.state in ENDED and not self.held


def standing(folder: Path) -> Standing:
    """Where the run in `folder` stands now. Raises ValueError or OSError where its status cannot be read."""
    held = may_be_written(folder)  # asked first: a process records its end before it lets go of the folder
    status = json_object(folder / "status.json", Status)
    state, line = _in_words(folder, status, held)
    # A run that is done lets go in this moment, if it has not.
    return Standing(printable(folder.name), state, line, held and state != "done", status)


def cut_short(folder: Path, step: int | None) -> str:
    """What to say of an encoder of this step, whose run came to no end and is not at work any more; "" of any other."""
    with suppress(OSError, ValueError):
        state = json_object(folder / "status.json", Status).get("state", "done")
        total = _steps(folder)
        if state == "done" or may_be_written(folder) or (step and total and step >= total):
            return ""
        at = "" if step is None else f" at step {step:,}" + (f" of {total:,.0f}" if total else "")
        way = "" if state == "diverged" else ", as pretrain --resume goes on from there"
        return f"{printable(folder)} {ENDINGS.get(state, 'was cut')}{at}: this is its encoder of then{way}"
    return ""


def _in_words(folder: Path, status: dict[str, Any], held: bool) -> tuple[str, str]:
    """The state of a run, and what else there is to say of it."""
    state, reason = (printable(status.get(key) or "") for key in ("state", "reason"))
    if not state:
        if not folder.is_dir():
            return GONE, "its folder was moved or removed"
        return ("starting", "nothing to show yet") if held else ("unknown", "it has no status.json")
    if state == "done":
        return state, _result(status)
    if state == "running":
        progress = ", ".join([*_progress(folder), _seen(folder)])
        if held:
            return state, progress
        way = "say the same again" if status.get("task") == "finetune" else "go on with --resume"
        lost = "no process writes this run any more: it may have been killed"
        return "abandoned", f"{lost}; {way} ({progress})"
    again = ["a process is at work on it again"] if held else []
    return state, "; ".join([*([reason] if reason else []), *again, _seen(folder)])


def _progress(folder: Path) -> Iterator[str]:
    """The step of so many, and the time that is left at the pace of the last lines of the log."""
    lines, _ = json_lines(folder / "metrics.jsonl", last=TAIL)
    points = [(_number(line.get("step")), _number(line.get("seconds"))) for line in lines[-RECENT:]]
    known = [(step, seconds) for step, seconds in points if step is not None]
    if not known:
        yield "no step logged yet"
        return
    step, total = known[-1][0], _steps(folder)
    yield f"step {step:,.0f}" + (f" of {total:,.0f}" if total else "")
    pace = _pace([(step, seconds) for step, seconds in known if seconds is not None])
    if total and pace and total > step:
        yield f"{duration(pace * (total - step))} left"


def _steps(folder: Path) -> float | None:
    try:
        return _number(yaml_in(folder / "recipe.yaml").get("steps"))
    except (OSError, ValueError):
        return None


def _pace(points: Sequence[tuple[float, float]]) -> float | None:
    """Seconds a step; of an older run since it was last resumed, when its clock started anew."""
    since = max((i for i in range(1, len(points)) if points[i][1] < points[i - 1][1]), default=0)
    points = points[since:]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])


def _result(status: dict[str, Any]) -> str:
    """What a finished run came to."""
    steps, seconds, accuracy = (_number(status.get(key)) for key in ("steps", "seconds", "accuracy"))
    if steps is not None:
        return f"{steps:,.0f} steps" + (f" in {duration(seconds)}" if seconds is not None else "")
    return f"accuracy {100 * accuracy:.1f} %" if accuracy is not None else ""


def _seen(folder: Path) -> str:
    """When something was last written."""
    times = []
    for name in WRITTEN:
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return f"last seen {duration(max(0.0, clock.wall() - max(times)))} ago" if times else "nothing written yet"


def _number(value: Any) -> float | None:
    """The number, or None where it is something else, or beyond what can be said."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) < 1e15 else None
