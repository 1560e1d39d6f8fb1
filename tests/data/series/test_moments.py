"""Times of series: numbers and dates, with zones or not, and what is said of those that cannot be read."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from selftaught.data.series.columns import is_called_time
from selftaught.data.series.files import open_recordings
from selftaught.data.series.inspection import inspect
from selftaught.data.series.samples import open_samples
from selftaught.system.errors import DataError

pytestmark = pytest.mark.usefixtures("here")


def wrote(name: str, header: str, *rows: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{line}\n" for line in (header, *rows)))
    return f"series:{name}"


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (("2026-10-25T02:59:59+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:00:01+01:00"), 1),
        (("2026-01-01 00:00:00Z", "2025-12-31T19:30:00.5-0430", "2026-01-01T05:30:01+0530"), 2),
        (("2026-01-01T00:00", "2026-01-01 00:01", "2026-01-01 01:02+01"), 1 / 60),
        (("2026-01-01", "2026-01-02", "2026-01-03"), 1 / 86400),
        (("2026-03-31T01:00:00.0000001", "2026-03-31T01:00:00.0000002", "2026-03-31T01:00:00.0000003"), 1e7),
        (("1774900000000000000", "1774900000000001000", "1774900000000002000"), 0.001),  # more than a float holds
        (("2026-03-31T01:00:00", "2026-03-31T01:00:00.05", "2026-03-31T01:00:00.1"), 20),
    ],
)
def test_times_are_read_to_their_last_digit_and_without_a_warning(times: tuple[str, ...], rate: float) -> None:
    order = (2, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = open_recordings(wrote("a.csv", "time,x", *(f"{times[place]},{place}" for place in order)))
    assert read.values[:, 0].tolist() == [0, 1, 2] and read.channels.rate == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("31.03.2026 01:59:59", "column 'time' holds '31.03.2026 01:59:59' in line 4, no time"),
        ("00:00:01.5", "column 'time' holds '00:00:01.5' in line 4, no time"),
        ("2026-03-31 01:59:59 CET", "column 'time' holds '2026-03-31 01:59:59 CET' in line 4, no time"),
        ("now", "column 'time' holds 'now' in line 4, no time"),
        ("", "its column 'time' holds nothing in line 4"),
    ],
)
def test_what_is_no_time_is_named_with_its_line_and_what_would_do(cell: str, said: str) -> None:
    for first in ("2026-03-31 01:59:58", "0.5"):
        data = wrote("a.csv", "time,x", f"{first},1", "", f"{cell},2")
        with warnings.catch_warnings(), pytest.raises(DataError) as error:
            warnings.simplefilter("error")
            open_recordings(data)
        assert str(error.value) == f"a.csv: {said}: write times as 2026-03-31T01:00:00+02:00 or as numbers"


def test_two_lines_of_one_time_are_named_and_the_hour_that_comes_twice_is_told() -> None:
    held = ("2026-10-25 01:59:59", "2026-10-25 02:30:00", "2026-10-25 02:45:00", "2026-10-25 02:30:00")
    with pytest.raises(DataError, match=r"one time, '2026-10-25 02:30:00', in line 3 and in line 5: where clocks are"):
        open_recordings(wrote("a.csv", "time,x", *(f"{time},{at}" for at, time in enumerate(held))))
    with pytest.raises(DataError, match=r"one time, '2026-10-25T02:30:00\+01:00', in line 2 and in line 3$"):
        open_recordings(wrote("a.csv", "time,x", "2026-10-25T02:30:00+01:00,1", "2026-10-25T03:30:00+02:00,2"))


def test_a_line_is_counted_as_in_its_file() -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 5 has 1 cells, the first has 2"):
        open_recordings(wrote("a.csv", "time,x", "0,1", "", "1,2", "2"))


def test_a_column_that_may_be_the_time_is_told() -> None:
    called = ("Time (s)", "t", "t [ms]", "t_s", "Zeit", "timestamp_utc", "TIME", "Datum", "time / s")
    other = ("T (°C)", "T", "T_öl (°C)", "times", "rate", "x (s)", "t0")
    assert [name for name in (*called, *other) if is_called_time(name)] == [*called]
    told = "column 'Time (s)' is learnt from; call it 'time' if it is the time"
    for name in "ab":
        data = wrote(f"logs/{name}.csv", "Time (s),x", "0,5", "1,4", "2,9").replace(f"/{name}.csv", "")
    assert told in open_recordings(data).notes and told in inspect(data).notes
    learnt = open_samples(data)
    assert (
        learnt.preparation.names == ("Time (s)", "x") and told not in open_samples(data, like=learnt.preparation).notes
    )
    assert told in open_recordings("series:logs/a.csv").notes  # of which each line is a series
    wrote("logs/a.csv", "time,Time (s),x", "0,0,5", "1,1,4", "2,2,9")
    assert told not in open_recordings(data).notes
    with pytest.raises(DataError, match=r"holds '2026-03-31 01:00:00' in line 2, .*; call it 'time' if it is the time"):
        open_recordings(wrote("zeit/a.csv", "Aufnahme,x", "2026-03-31 01:00:00,1", "2026-03-31 01:00:01,2")[:11])


def test_a_column_that_only_rises_in_every_file_may_be_the_time() -> None:
    for name in "ab":
        rows = (f"{0.1 * at:g},{at if name == 'a' else -at}" for at in range(20))
        data = wrote(f"logs/{name}.csv", "clock,x", *rows).replace(f"/{name}.csv", "")
    told = [note for note in open_recordings(data).notes if "if it is the time" in note]
    assert told == ["column 'clock' is learnt from; call it 'time' if it is the time"]


def test_another_rate_than_the_encoder_has_learnt_from_is_told() -> None:
    def at(step: float) -> str:
        return wrote(
            "a.csv", "series,time,x", *(f"{key},{step * point:.6g},{point}" for key in "uv" for point in range(6))
        )

    like = open_samples(at(0.05)).preparation
    told = "it has 2 points in a unit of time, and the encoder learnt from 20"
    assert any(note.startswith(told) for note in open_samples(at(0.5), like=like).notes)
    assert not open_samples(at(0.0502), like=like).notes
    np.save("a.npy", np.ones((2, 1, 6)))
    assert not any("unit of time" in note for note in open_samples("series:a.npy", like=like).notes)
