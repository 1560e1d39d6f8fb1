"""Histograms of values: of each channel, from a sample, with a word where most of a range is unused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selftaught.contracts.findings import Findings, Values
from selftaught.data.images import values
from selftaught.data.images.inspection import inspect

DRAWS = np.random.default_rng(0)


def looked_at(folder: Path, images: list[np.ndarray]) -> tuple[Findings, Values]:
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{number:03d}.tif")
    found = inspect(folder)
    assert found.images and found.images.values
    return found, found.images.values


def test_twelve_bits_in_sixteen_are_told_with_the_range_to_name(tmp_path: Path) -> None:
    found, told = looked_at(tmp_path, [DRAWS.integers(100, 4000, (9, 8)).astype(np.uint16) for _ in range(6)])
    (channel,) = told.channels
    assert (told.type, told.images, told.range) == ("uint16", 6, (0, 4095)) and 0.05 < told.used < 0.06
    assert 100 <= channel.min <= channel.p1 < channel.median < channel.p99 <= channel.max < 4000
    assert sum(channel.counts) == 6 * 72 and channel.counts[-1] < channel.counts[12]
    assert any(
        note.endswith("of 0 to 65,535, so most of that range is unused: --range 0:4095 names what counts")
        for note in found.notes
    )
    assert found.as_json()["images"]["values"]["channels"][0]["counts"] == channel.counts


def test_what_fills_its_range_is_told_nothing_of(tmp_path: Path) -> None:
    found, told = looked_at(tmp_path, [DRAWS.integers(0, 256, (9, 8, 3), dtype=np.uint8) for _ in range(4)])
    assert (told.type, len(told.channels), told.range) == ("uint8", 3, (0, 255)) and told.used > 0.95
    assert not any("unused" in note for note in found.notes)


def test_of_measured_values_a_few_that_are_far_off_leave_most_of_the_range_unused(tmp_path: Path) -> None:
    x = DRAWS.normal(5, 1, (30, 10, 10, 2)).astype(np.float32)
    np.save(tmp_path / "sound.npy", x)
    x[3, 4, 4, 1] = -9999
    np.save(tmp_path / "odd.npy", x)
    sound, odd = (inspect(tmp_path / f"{name}.npy") for name in ("sound", "odd"))
    assert not any("unused" in note for note in sound.notes)
    (line,) = (note for note in odd.notes if "unused" in note)
    low, high = map(float, line.partition("--range ")[2].split()[0].split(":"))
    assert 1 < low < 3 and 7 < high < 9
    assert odd.images and odd.images.values and odd.images.values.channels[1].min == -9999


@pytest.mark.parametrize("nothing", [-np.finfo(np.float32).max, -9999, 1e20])
def test_what_stands_for_no_data_is_told_however_much_of_it_there_is(nothing: float, tmp_path: Path) -> None:
    x = DRAWS.uniform(0.01, 0.55, (12, 10, 10, 2)).astype(np.float32)
    x[:, :4] = nothing
    np.save(tmp_path / "x.npy", x)
    (line,) = (note for note in inspect(tmp_path / "x.npy").notes if "--range" in note)
    assert line.startswith("all but 40 % of the values lie in 0.01") and f"{np.float32(nothing):,.6g}, beside" in line
    low, high = map(float, line.partition("--range ")[2].split()[0].split(":"))
    assert 0 <= low <= 0.01 and 0.55 <= high < 0.6
    x[:, :4] = 0  # nothing of which is far off
    np.save(tmp_path / "x.npy", x)
    assert not any("--range" in note for note in inspect(tmp_path / "x.npy").notes)


def test_mixed_images_are_told_by_those_of_most_and_many_by_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey, colour = np.full((4, 4), 9, np.uint8), np.full((4, 4, 3), 99, np.uint8)
    _, told = looked_at(tmp_path, [grey, colour, colour + 1, grey + 1, colour + 2])
    assert (told.images, len(told.channels), told.channels[0].max) == (3, 3, 101)
    monkeypatch.setattr(values, "IMAGES", 2)
    found = inspect(tmp_path)
    assert found.images and found.images.values and found.images.values.images in (1, 2)


@pytest.mark.parametrize("value", [0.0, 7.5, -3.0, 1e30])
def test_images_of_one_value_have_a_histogram_too(value: float) -> None:
    told = values.values_of([values.some_of(np.full((3, 3, 1), value, np.float32))])
    assert told and sum(told.channels[0].counts) == 9 and not values.note_of(told)
    far = np.array([-1.7e308, 1.7e308, value]).reshape(3, 1, 1)
    assert values.values_of([values.some_of(far)]) is None
