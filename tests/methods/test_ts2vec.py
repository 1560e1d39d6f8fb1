"""TS2Vec: the crops of a step, and that what is compared are the same moments."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.method import Data
from selftaught.methods.contrastive.negatives import ts2vec
from selftaught.methods.contrastive.negatives.ts2vec import Ts2Vec
from selftaught.system import randomness
from selftaught.system.errors import UsageError

BATCH, LENGTH = 4, 23


class Repeating(nn.Module):
    """An encoder that says of each patch what its first point was."""

    dim, along = 1, True

    def __init__(self, patch: int = 1) -> None:
        super().__init__()
        self.patch = patch

    def map(self, x: Tensor) -> Tensor:
        return x[..., :: self.patch]


def method(encoder: Any, **options: Any) -> Ts2Vec:
    made = Ts2Vec(encoder, Data(64, (1, LENGTH), (0.0,), (1.0,)), **options)
    nn.init.constant_(made.hole.value, -100.0)
    return made


@pytest.mark.parametrize("patch", [1, 3])
def test_the_same_moments_are_compared(patch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(ts2vec, "hierarchical_contrast", lambda a, b: seen.append((a, b)) or (a.sum(), b.sum()))
    own, x = method(Repeating(patch), mask_ratio=0, longest=5), torch.arange(BATCH * LENGTH).view(BATCH, 1, LENGTH)
    lengths, starts = set(), set()
    for step in range(200):
        with randomness.at(0, step, slice(0, BATCH)):
            own(x.float())
        a, b = seen[-1]
        assert torch.equal(a, b) and torch.equal(a - a[..., :1], patch * torch.arange(a.shape[2]).expand_as(a))
        rows = a[:, 0, 0].long()
        assert torch.equal(rows // LENGTH, torch.arange(BATCH)) and (rows % LENGTH % patch == 0).all()
        assert (a[:, 0, -1].long() % LENGTH + patch <= LENGTH).all()
        lengths.add(a.shape[2])
        starts.update((rows % LENGTH // patch).tolist())
    count = LENGTH // patch
    assert lengths == {2, 3, 4, 5} and starts >= {0, count // 2, count - 2}


def test_a_share_of_the_moments_of_each_crop_is_hidden_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(ts2vec, "hierarchical_contrast", lambda a, b: seen.append((a, b)) or (a.sum(), b.sum()))
    own, x = method(Repeating(), mask_ratio=0.25), torch.rand(BATCH, 1, LENGTH)
    for step in range(100):
        with randomness.at(0, step, slice(0, BATCH)):
            own(x)
    a, b = (torch.cat([pair[place].flatten() for pair in seen]) == -100 for place in range(2))
    assert a.float().mean() == pytest.approx(0.25, abs=0.02) == b.float().mean()
    assert (a & b).float().mean() == pytest.approx(0.25**2, abs=0.02)


def test_what_each_scale_weighs_is_an_option() -> None:
    x, terms = torch.randn(BATCH, 1, LENGTH), {}
    for weight in (0.0, 0.25, 1.0):
        with randomness.at(0, 3, slice(0, BATCH)):
            found = method(Repeating(), weight=weight, mask_ratio=0)(x)
        terms[weight] = {name: term.item() for name, term in found.items()}
    assert terms[0.0]["series"] == 0 == terms[1.0]["moments"]
    assert terms[0.25]["series"] == pytest.approx(0.25 * terms[1.0]["series"])
    assert terms[0.25]["moments"] == pytest.approx(0.75 * terms[0.0]["moments"])


def test_a_network_without_moments_is_refused() -> None:
    class Whole(Repeating):
        def map(self, x: Tensor) -> Tensor:
            return x.mean(dim=2, keepdim=True)

    with pytest.raises(UsageError, match="no feature for each"), randomness.at(0, 0, slice(0, BATCH)):
        method(Whole())(torch.randn(BATCH, 1, LENGTH))
