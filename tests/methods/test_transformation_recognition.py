"""Transformation recognition: what is done to a series, and which head is asked of which."""

import math

import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.method import Data
from selftaught.methods.parts import moments
from selftaught.methods.self_prediction.augmented import transformation_recognition as module
from selftaught.methods.self_prediction.augmented.transformation_recognition import TransformationRecognition
from selftaught.system import randomness

BATCH, POINTS = 64, 24
OPEN = Data(64, (1, POINTS), (0.0,), (1.0,))
MASKED = Data(64, (2, POINTS), (0.0, 0.0), (1.0, 1.0), masked=True)


def ramp(ends: Tensor | None = None) -> Tensor:
    """Series that count their points from 1 on, and, where they end, what was seen of them."""
    x = torch.arange(1.0, POINTS + 1).expand(BATCH, 1, POINTS)
    if ends is None:
        return x
    seen = (torch.arange(POINTS) < ends[:, None]).float()[:, None]
    return torch.cat([x * seen, seen], dim=1)


@pytest.fixture
def short() -> Tensor:
    """Where each series ends."""
    return torch.arange(BATCH) % 12 + 12


def test_time_is_turned_back_within_what_was_seen(short: Tensor) -> None:
    assert torch.equal(moments.turned_back(ramp(), OPEN), ramp().flip(2))
    back = moments.turned_back(ramp(short), MASKED)
    for row, end in zip(back, short.tolist()):
        assert row[0, :end].tolist() == list(range(end, 0, -1)) and not row[0, end:].any()
    assert torch.equal(back[:, 1], ramp(short)[:, 1])


def test_segments_stand_in_another_order_and_hold_what_they_held(short: Tensor) -> None:
    with randomness.at(0, 0, slice(0, BATCH)):
        whole, part = moments.shuffled(ramp(), OPEN, 4), moments.shuffled(ramp(short), MASKED, 4)
    assert (whole.sort(dim=2).values == ramp()).all() and (whole != ramp()).flatten(1).any(dim=1).all()
    pieces = whole.view(BATCH, 4, 6)
    assert (pieces.diff(dim=2) == 1).all() and len({tuple(row[:, 0].tolist()) for row in pieces}) > 15
    assert torch.equal(part[:, 1], ramp(short)[:, 1]) and not (part[:, 0] * (1 - part[:, 1])).any()
    assert ((part[:, 0] > 0).sum(dim=1) == short).all() and (part[:, 0].amax(dim=1) <= short).all()


def test_another_pace_keeps_beginning_end_and_order(short: Tensor) -> None:
    with randomness.at(0, 0, slice(0, BATCH)):
        whole, part = moments.warped(ramp(), OPEN, 0.5), moments.warped(ramp(short), MASKED, 0.5)
    assert (whole.diff(dim=2) >= 0).all() and (whole[..., 0] < 3).all() and (whole[..., -1] > POINTS - 2).all()
    assert ((whole - ramp()).abs().amax(dim=2) > 0.5).float().mean() > 0.9
    for row, end in zip(part, short.tolist()):
        assert row[1].tolist() == [1.0] * end + [0.0] * (POINTS - end)
        assert (row[0, :end].diff() >= 0).all() and end - 3 < row[0, end - 1] <= end and not row[0, end:].any()


def test_series_that_end_early_are_stretched_and_others_left(short: Tensor) -> None:
    assert torch.equal(moments.stretched(ramp(), OPEN), ramp())
    long = moments.stretched(ramp(short), MASKED)
    assert (long[:, 1] == 1).all() and torch.allclose(long[:, 0, -1], short.float(), atol=0.6)
    assert torch.equal(moments.stretched(ramp(torch.full((BATCH,), POINTS)), MASKED)[:, 0], ramp()[:, 0])


class Noting(nn.Module):
    """An encoder that keeps what it is shown."""

    dim, patch, along = 3, 1, True

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x.flatten(1)[:, : self.dim]


def test_all_are_shown_and_what_was_seen_is_never_negated(short: Tensor) -> None:
    method = TransformationRecognition(Noting(), MASKED)
    with randomness.at(0, 0, slice(0, BATCH)):
        loss = method(ramp(short))["cross_entropy"]
    shown = method.encoder.seen.unflatten(0, (5, BATCH))
    assert torch.equal(shown[0], ramp(short)) and torch.equal(shown[2, :, 0], -ramp(short)[:, 0])
    assert torch.equal(shown[2, :, 1], ramp(short)[:, 1])
    scores = method.classifier(shown.flatten(2)[..., :3].flatten(0, 1))
    wanted = torch.arange(5).repeat_interleave(BATCH)
    assert torch.allclose(loss, nn.functional.cross_entropy(scores, wanted)) and method.chance(8) == math.log(5)


def test_each_head_knows_one_transformation_from_nothing_done(monkeypatch: pytest.MonkeyPatch) -> None:
    method, asked = TransformationRecognition(Noting(), OPEN, heads="each"), []
    monkeypatch.setattr(module, "binary_cross_entropy", lambda *given: asked.append(given) or given[0].mean())
    with randomness.at(0, 0, slice(0, BATCH)):
        method(ramp())
    (scores, truth), shown = asked[0], method.encoder.seen.unflatten(0, (5, BATCH))
    said = method.classifier(shown.flatten(2)[..., :3])  # (5, B, 4)
    assert torch.equal(scores[:BATCH], said[0]) and not truth[:BATCH].any() and truth[BATCH:].all()
    for head in range(4):
        assert torch.equal(scores[BATCH:, head], said[1 + head, :, head])
    assert method.chance(8) == math.log(2)
