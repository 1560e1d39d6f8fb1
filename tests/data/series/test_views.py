"""Views of series: what each change does, that what was not seen stays so, and that numbers have addresses."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from selftaught.data.series.pictures import PAPER, contact_sheet, thumbnails, visible
from selftaught.data.series.preparation import Preparation
from selftaught.data.series.views import Augmentation, Views
from selftaught.system import randomness
from selftaught.system.errors import UsageError

COUNT, CHANNELS, POINTS = 32, 3, 24
OFF = {name: getattr(Augmentation(), name) for name in Augmentation.__dataclass_fields__}
SOME = {"jitter": 0.3, "scaling": 0.3, "magnitude_warp": 0.3, "time_warp": 0.5, "segments": 3, "crop": 0.5, "drop": 0.4,
        "frequency": 0.4}  # fmt: skip


def preparation(masked: bool = False) -> Preparation:
    return Preparation(
        names=("",) * CHANNELS, length=POINTS, means=(0,) * CHANNELS, deviations=(1,) * CHANNELS, masked=masked
    )


def made(x: Tensor, rows: slice = slice(0, COUNT), name: str = "strong", **chosen: Any) -> Tensor:
    views = Views((name,), preparation(x.shape[1] > CHANNELS), {name: OFF | chosen})
    with randomness.at(0, 0, rows, COUNT):
        return views(torch.arange(COUNT)[rows], x[rows])[0]


def series() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(COUNT, CHANNELS, POINTS)).astype(np.float32))


def ramp() -> Tensor:
    return torch.arange(float(POINTS)).expand(COUNT, CHANNELS, POINTS)


def test_all_options_have_a_value_that_does_nothing_and_one_that_is_tried_here() -> None:
    assert set(SOME) == set(OFF) and torch.equal(made(series()), series())
    assert torch.equal(made(series(), name="light") * 0, series() * 0)


@pytest.mark.parametrize("name", SOME)
def test_a_share_of_a_batch_gets_what_it_gets_in_the_whole(name: str) -> None:
    whole = made(series(), **{name: SOME[name]})
    assert torch.equal(made(series(), slice(8, 20), **{name: SOME[name]}), whole[8:20])
    assert not torch.equal(whole, series()) and whole.isfinite().all()


def test_places_in_time_are_read_as_each_change_says() -> None:
    x = ramp()
    cropped = made(x, crop=0.5)[:, 0]
    steps = cropped.diff(dim=1)[:, 1:-1]
    assert (steps - steps.mean(dim=1, keepdim=True)).abs().max() < 1e-4 and 0.5 <= steps.mean(dim=1).min() < 0.6
    assert steps.mean(dim=1).max() > 0.9  # all shares from the least to the whole
    warped = made(x, time_warp=0.5)[:, 0]
    assert (warped.diff(dim=1) >= 0).all() and warped[:, 0].max() < 2 and warped[:, -1].min() > POINTS - 3
    assert (warped.diff(dim=1).std(dim=1) > 0.05).all()
    moved = made(x, segments=3)[:, 0]
    assert torch.equal(moved.sort(dim=1).values, x[:, 0]) and (moved.unflatten(1, (3, 8)).diff(dim=2) == 1).all()
    assert len({tuple(row) for row in moved[:, ::8].tolist()}) == 6  # all orders of three segments


def test_amplitudes_frequencies_and_channels() -> None:
    x = series()
    factor = made(x, scaling=0.3) / x
    assert (factor.std(dim=2) < 1e-4).all() and 0.2 < factor[..., 0].std() < 0.4
    curve = made(x, magnitude_warp=0.3) / x
    assert (curve.diff(dim=2).abs() < 0.4).all() and (curve.std(dim=2) > 0.01).all()
    assert 0.28 < (made(x, jitter=0.3) - x).std() < 0.32
    left = made(x, frequency=0.4)
    assert torch.allclose(left.mean(dim=2), x.mean(dim=2), atol=1e-5)
    gone = (torch.fft.rfft(left).abs() < 1e-4)[:, 0, 1:]
    assert 0.3 < gone.float().mean() < 0.5 and (torch.fft.rfft(left)[:, 1].abs()[:, 1:][gone] < 1e-4).all()
    dropped = (made(x, drop=0.6) == 0).all(dim=2)
    assert 0.3 < dropped.float().mean() < 0.5 and not dropped.all(dim=1).any()
    assert torch.equal(made(x[:, :1].repeat(1, 3, 1), drop=1.0), x[:, :1].repeat(1, 3, 1))


@pytest.mark.parametrize("name", SOME)
def test_what_was_not_seen_stays_zero_moves_with_what_was_and_pulls_nothing(name: str) -> None:
    seen = (torch.rand(COUNT, CHANNELS, POINTS, generator=torch.Generator().manual_seed(1)) > 0.3).float()
    x = torch.cat([5 * seen, seen], dim=1)  # all that was seen is five
    values, told = made(x, **{name: SOME[name]}).split(CHANNELS, dim=1)
    assert set(told.unique().tolist()) == {0, 1} and (values[told == 0] == 0).all() and (told.sum() > 0)
    if name in ("time_warp", "segments", "crop", "drop"):  # which read, and change no value
        assert torch.allclose(values[told == 1], torch.tensor(5.0))
    if name in ("time_warp", "segments", "crop"):
        assert not torch.equal(told, seen)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jitter": -1}, "view strong option 'jitter' cannot be -1: it is a deviation, 0 or more"),
        ({"crop": 0}, "view strong option 'crop' cannot be 0: it is a share above 0"),
        ({"segments": 0}, "view strong option 'segments' cannot be 0: it is a number of segments, 1 or more"),
        ({"blur": 1}, "view strong has no option 'blur'"),
    ],
)
def test_bad_options_of_views_are_refused_by_name(options: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Views(("strong",), preparation(), {"strong": options})


def test_plots_have_a_line_a_channel_and_gaps_where_nothing_was_seen() -> None:
    x = torch.zeros(2, 2 * CHANNELS, POINTS)
    x[:, CHANNELS] = 1
    x[1, CHANNELS, 6:18] = 0  # of one channel alone anything was seen, and of the second series half of it
    x[:, 0] = 2
    plots = visible(x, preparation(masked=True)).astype(int)
    drawn = (plots[:, 1:-1, 1:-1] != PAPER).any(axis=3)
    assert drawn[0].any(axis=0).all() and drawn[0].sum() == drawn.shape[2]
    assert 0.3 < drawn[1].any(axis=0).mean() < 0.6 and np.flatnonzero(drawn[0].any(axis=1)).max() < drawn.shape[1] / 3
    said = x.clone()
    said[:, CHANNELS:] = 0.3 * torch.randn(2, CHANNELS, POINTS, generator=torch.Generator().manual_seed(0))
    answers = (visible(said, preparation(masked=True))[:, 1:-1, 1:-1] != PAPER).any(axis=3)
    assert answers.any(axis=1).all(), "an answer is drawn from end to end, whatever it says of what was seen"
    assert thumbnails(x, preparation(masked=True), 30).shape == (2, 20, 30, 3)
    sheet = contact_sheet({"series": x, "strong": x[:1]}, preparation(masked=True))
    assert isinstance(sheet, Image.Image) and sheet.height < 200 < sheet.width
