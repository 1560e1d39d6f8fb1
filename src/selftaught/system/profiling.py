"""Where the time of a step goes: named parts of the code, and a table of what each took (`--profile`)."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from selftaught.system import clock
from selftaught.system.files import replacing, spared, write_json

PREFIX = "selftaught/"
WARM_UP, PROFILED = 3, 10  # steps: the first ones allocate, compile and fill caches


def part(name: str) -> record_function:
    """Mark what runs inside as this part of a step; costs microseconds where nobody profiles."""
    return record_function(PREFIX + name)


class Profile:
    """Watches some steps of a run, once it has warmed up, and says where their time went."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table: list[dict[str, Any]] = []
        self._steps = 0
        self._profiler: profile | None = None

    def step(self) -> bool:
        """Follow one step; True once, when the table is there, profile.json and a trace for trace viewers."""
        self._steps += 1
        if self._steps == WARM_UP:
            activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
            self._profiler = profile(activities=activities, acc_events=True)
            self._profiler.start()
            self._began = clock.now()
        elif self._profiler and self._steps == WARM_UP + PROFILED:
            seconds = clock.now() - self._began
            self._profiler.stop()
            self.table = _table(self._profiler, seconds)
            with spared("the profile"):
                with replacing(self.folder / "profile_trace.json") as temporary:
                    self._profiler.export_chrome_trace(str(temporary))
                write_json(self.folder / "profile.json", self.table)
            self._profiler = None
            return True
        return False

    def end(self) -> str | None:
        """Watch no longer, as there are no more steps; what to say where there were too few for a table."""
        if self._profiler:
            self._profiler.stop()
            self._profiler = None
        if self.table or not self._steps:
            return None
        return f"warning: nothing is profiled: --profile needs {WARM_UP + PROFILED} steps, and there were {self._steps}"

    def lines(self) -> Iterator[str]:
        """The table, for people."""
        yield f"profile  of {PROFILED} steps, ms a step and share of it"
        for row in self.table:
            yield f"         {row['part']:<16} {row['milliseconds']:9.1f} {row['share']:6.1%}"


def _table(profiler: profile, seconds: float) -> list[dict[str, Any]]:
    """Each part's own milliseconds a step: what it took without the parts inside it."""
    marks = [event for event in profiler.events() or [] if event.name.startswith(PREFIX)]
    own: dict[str, float] = defaultdict(float)
    for event in marks:
        name = event.name.removeprefix(PREFIX)
        own[name] += _taken(event)
        outer = event.cpu_parent
        while outer is not None and not outer.name.startswith(PREFIX):
            outer = outer.cpu_parent
        if outer is not None:
            own[outer.name.removeprefix(PREFIX)] -= _taken(event)
    own["other"] = max(0.0, 1e6 * seconds - sum(own.values()))
    total = sum(own.values())
    rows = [
        {"part": name, "milliseconds": taken / 1000 / PROFILED, "share": taken / total} for name, taken in own.items()
    ]
    return sorted(rows, key=lambda row: -float(row["share"]))


def _taken(event: Any) -> float:
    """Microseconds, of the device where there is one: a host only queues its work."""
    return max(event.cpu_time_total, event.device_time_total)
