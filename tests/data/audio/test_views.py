"""Views of clips: what they show, whose they are, and that every random number has its address."""

import pytest
import torch
from torch import Tensor

from selftaught.data.audio import pictures
from selftaught.data.audio.preparation import Preparation
from selftaught.data.audio.views import Views
from selftaught.system import randomness
from selftaught.system.errors import UsageError

HOW = Preparation.at(4000, (8, 6)).model_copy(update={"low": -60.0, "high": 20.0, "mean": (0.5,), "std": (0.5,)})
LENGTHS = [4, 6, 13, 9]
STILL = {"time": (1, 1), "frequency": (1, 1), "mix": 0, "gain": 0, "time_masks": 0, "frequency_masks": 0}


def made(names: list[str], rows: slice = slice(0, 4), patch: int = 1, **options: object) -> tuple[Tensor, ...]:
    """Views of clips whose levels are 1 dB higher with each frame, of all; and those of mels higher by a tenth."""
    frames = (torch.arange(32.0)[:, None] - 40 + 0.1 * torch.arange(8)).half()
    stretches = torch.tensor([[sum(LENGTHS[:row]), length] for row, length in enumerate(LENGTHS)])
    views = Views(names, HOW, frames, stretches, patch=patch, options={name: options for name in names if options})
    with randomness.at(0, 3, rows, 4):
        return views(torch.arange(4)[rows], stretches[rows])


def decibels(view: Tensor) -> Tensor:
    return HOW.levels(view)[:, 0]


def test_a_plain_view_is_the_middle_of_a_clip_with_silence_round_what_is_short() -> None:
    (plain,) = made(["plain"])
    first = decibels(plain)[:, 0]  # of the lowest mel
    assert torch.allclose(first[0], torch.tensor([-60.0, -40, -39, -38, -37, -60]), atol=0.05)
    assert torch.allclose(first[1], torch.arange(-36.0, -30), atol=0.05)
    assert torch.allclose(first[2], torch.arange(-27.0, -21), atol=0.05)  # three frames of thirteen are left before it
    assert torch.allclose(decibels(plain)[1, :, 0], -36 + 0.1 * torch.arange(8), atol=0.05)


def test_crops_lie_inside_their_clip_and_a_pace_is_another_slope() -> None:
    (same,) = made(["strong"], **STILL)
    steps = decibels(same)[2, 0].diff()
    assert torch.allclose(steps, torch.ones(5), atol=0.05) and -30 <= decibels(same)[2, 0, 0] <= -23
    (slow,) = made(["strong"], **STILL | {"time": (0.5, 0.5)})
    assert torch.allclose(decibels(slow)[2, 0].diff(), torch.full((5,), 0.5), atol=0.05)
    (narrow,) = made(["strong"], **STILL | {"frequency": (0.5, 0.5)})
    rise = decibels(narrow)[2, :, 3].diff()
    assert 0.03 < rise[2:5].mean() < 0.07  # half as much from mel to mel


def test_another_clip_is_mixed_in_by_its_power() -> None:
    (alone,), (mixed,) = made(["strong"], **STILL), made(["strong"], **STILL | {"mix": 0.4})
    one, two = (10 ** (decibels(view) / 10) for view in (alone, mixed))
    added = two - 0.6 * one
    assert (added > -1e-9).all() and not torch.allclose(one, two, rtol=0.1)
    loudest = 10 ** torch.tensor((32 - 41 + 0.8) / 10)
    assert (two <= torch.maximum(one, loudest) * 1.05).all()


def test_masks_are_stretches_at_the_mean_and_gain_moves_all_but_silence() -> None:
    (masked,) = made(["strong"], **STILL | {"time_masks": 1, "time_mask": 1, "frequency_masks": 1, "frequency_mask": 1})
    hidden = masked[:, 0] == 0
    times, mels = hidden.all(dim=1), hidden.all(dim=2)
    assert (hidden == (times[:, None] | mels[:, :, None])).all() and times.any() and mels.any() and not hidden.all()
    assert all((row.int().diff() == 1).sum() <= 1 for row in (*times, *mels))  # each is one stretch
    assert times.sum(dim=1).max() > 1 and mels.sum(dim=1).max() > 1
    many = ["strong"] * 6  # whose gains are up and down
    still, louder = (torch.cat(made(many, **STILL | told)) for told in ({}, {"gain": 6}))
    moved = decibels(louder) - decibels(still)
    silent = decibels(still) < -59.9
    assert silent.any() and moved[silent].abs().max() < 0.01
    by_clip = [moved[row][~silent[row]] for row in range(24)]
    assert all(one.max() - one.min() < 0.05 for one in by_clip) and moved.max() > 1 and moved.min() < -1


def test_every_number_has_its_address_whoever_makes_the_view() -> None:
    names = ["strong", "strong_other", "light", "local"]
    whole = made(names)
    parts = [made(names, rows) for rows in (slice(0, 1), slice(1, 4))]
    for place, view in enumerate(whole):
        assert torch.equal(view, torch.cat([part[place] for part in parts]))
    assert not torch.equal(*made(["strong", "strong"]))


def test_sizes_options_and_pictures() -> None:
    views = made(["global", "local"], patch=2)
    assert [tuple(view.shape) for view in views] == [(4, 1, 8, 6), (4, 1, 4, 4)]
    with pytest.raises(UsageError, match="no view named 'stong'"):
        Views.refuse_unknown({"stong": {}})
    with pytest.raises(UsageError, match=r"view strong option 'mix' cannot be 1"):
        Views.refuse_unknown({"strong": {"mix": 1.0}})
    loud = torch.full((2, 1, 8, 6), -1.0)
    loud[0, 0, 0] = 1.0  # the lowest mel, which is drawn below all others
    shown = pictures.visible(loud, HOW)
    assert shown.shape == (2, 8, 6, 3) and (shown[0, -1] == 252).any() and (shown[0, 0] == (8, 8, 32)).all()
    assert pictures.thumbnails(loud, HOW, 4).shape == (2, 4, 3, 3)
    assert pictures.contact_sheet({"a": loud, "b": loud[:1]}, HOW).width > 2 * 72
