"""The table of a profile: what a part took is its own, without the parts inside it."""

from dataclasses import dataclass
from typing import Any

import pytest

from selftaught.system.profiling import PROFILED, _table


@dataclass
class Event:
    """As torch's profiler tells of one."""

    name: str
    cpu_time_total: float  # microseconds
    cpu_parent: "Event | None" = None
    device_time_total: float = 0


class Told:
    """A profiler that has been told these events."""

    def __init__(self, *events: Event) -> None:
        self.told = events

    def events(self) -> Any:
        return self.told


def test_every_microsecond_is_counted_once() -> None:
    forward = Event("selftaught/forward", 300)
    product = Event("aten::mm", 200, forward)
    loss = Event("selftaught/loss", 100, product)
    table = _table(Told(forward, product, loss, Event("selftaught/backward", 400), Event("aten::add", 50)), 1e-3)
    assert {row["part"]: round(row["share"], 9) for row in table} == {
        "backward": 0.4,
        "other": 0.3,
        "forward": 0.2,
        "loss": 0.1,
    }
    assert [row["part"] for row in table] == ["backward", "other", "forward", "loss"]
    assert table[0]["milliseconds"] == pytest.approx(0.4 / PROFILED)


def test_a_device_is_believed_where_it_took_longer_than_its_host() -> None:
    (row,) = _table(Told(Event("selftaught/backward", 10, device_time_total=500)), 1e-4)[:1]
    assert row["part"] == "backward" and row["milliseconds"] == pytest.approx(0.5 / PROFILED)
