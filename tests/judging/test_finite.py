"""Features that are not finite are refused wherever they are made, and the sample is named."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Samples
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.judging.featured import featured
from selftaught.judging.finetune import Tuning, finetune, scores_of
from selftaught.judging.inside import tokens
from selftaught.judging.labelled import Labelled
from selftaught.judging.maps import maps
from selftaught.judging.shown import taken
from selftaught.system.components import Part
from selftaught.system.errors import DataError, DivergedError

GREY = Preparation(channels=1, size=(16, 16), low=0, high=255, mean=(0.5,), std=(0.25,))


class Contrast(nn.Module):
    """What is seen, by how much it varies; of a blank image nothing that is finite."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) / x.std(dim=(1, 2, 3), keepdim=True)


def samples(blank: int | None) -> Samples:
    x = np.random.default_rng(0).integers(0, 255, (300, 16, 16), dtype=np.uint8)  # more than a batch of 250
    if blank is not None:
        x[blank] = 90
    return open_samples(x, like=GREY)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return build_encoder(Part(name="own"), GREY, Contrast()).eval()


def joined(train: Samples, test: Samples | None) -> Labelled:
    rows = np.arange(train.count + (test.count if test else 0))
    return Labelled(train, test, rows % 2, ["even", "odd"], rows, rows)


class Scoring(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.scores = encoder


@pytest.mark.parametrize("blank", [3, 270], ids=["first batch", "second batch"])
def test_the_first_sample_is_named(encoder: Encoder, blank: int) -> None:
    fine, odd = samples(None), samples(blank)
    data, named = joined(fine, odd), f"of {odd.keys[blank]} are not finite"
    with pytest.raises(DataError, match=f"the features {named}"):
        featured(encoder, odd)
    with pytest.raises(DataError, match=f"the untrained features {named}"):
        taken(encoder, data.sources, ("own",), lambda done: None, 600, "untrained")
    with pytest.raises(DataError, match=f"the trained tokens {named}"):
        tokens("trained", encoder, data)
    with pytest.raises(DataError, match=f"the trained maps {named}"):
        maps("trained", encoder, data)
    with pytest.raises(DataError, match=f"the scores {named}"):
        scores_of(Scoring(encoder), odd)
    assert scores_of(Scoring(encoder), fine).shape == (300, 4)


def test_a_training_that_an_odd_sample_spoils_is_no_matter_of_its_rate(encoder: Encoder) -> None:
    rows, none = np.arange(300), np.arange(0)
    how = {"held": none, "tuning": Tuning(epochs=2, batch_size=150), "seed": 0}
    odd = samples(270)
    with pytest.raises(DataError, match=f"the features of {odd.keys[270]} are not finite"):
        finetune(encoder, joined(odd, None), rows, **how)
    with pytest.raises(DivergedError, match="try a lower learning rate"):
        finetune(encoder, joined(samples(None), None), rows, **how | {"tuning": Tuning(epochs=20, lr=1e6, frozen=0)})
