"""Views for what is no photo: each preset keeps what its images mean, and stays what runs were made with."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from selftaught.contracts import modality
from selftaught.data.images.presets import VIEWS_FOR
from selftaught.data.images.views import AUGMENTATIONS, Views
from selftaught.data.sources.source import digest
from selftaught.run.recipes import Pretrain
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from tests.data.images.test_views import facts

UPRIGHT, TURNED = ("xray", "document"), ("satellite", "microscopy", "texture")
COUNT = 400


def made(kind: str, view: str, x: Tensor, **options: object) -> Tensor:
    """Views (B, C, H, W) of one image (C, h, w) in [0, 1], as the preset has them but for `options`."""
    preparation = facts((16, 16), len(x), 1.0)
    views = Views((view,), preparation, options={view: {**VIEWS_FOR[kind].get(view, {}), **options}})
    with randomness.at(0, 0, slice(0, COUNT)):
        return views(torch.arange(COUNT), x.expand(COUNT, *x.shape), torch.ones(COUNT))[0] * 0.2 + 0.4


def corner() -> Tensor:
    """What tells every way in which a square can lie: one corner is bright, the next one half as bright."""
    x = torch.zeros(3, 16, 16)
    x[:, :8, :8], x[:, :8, 8:] = 1.0, 0.5
    return x


def ways(views: Tensor) -> set[tuple[float, ...]]:
    """The ways in which such an image lies, by the ranks of its quarters."""
    quarters = torch.stack([views[:, 0, a, b] for a in (2, 13) for b in (2, 13)], dim=1)
    return {tuple(row) for row in quarters.argsort(dim=1, descending=True, stable=True)[:, :2].tolist()}


WHOLE = {"crop": [1.0, 1.0], "jitter": 0, "channel_jitter": 0, "solarise": 0, "blur": 0, "grey": 0}


@pytest.mark.parametrize("view", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("kind", [*UPRIGHT, *TURNED, "photo"])
def test_a_square_lies_in_all_eight_ways_or_in_its_own(kind: str, view: str) -> None:
    own = VIEWS_FOR[kind].get(view, {})
    lies = ways(made(kind, view, corner(), **WHOLE, scale=1.0))
    assert len(lies) == (1 if kind in UPRIGHT else 8 if kind in TURNED else 2)
    assert ("turn" in own) == (kind in TURNED)


def test_each_way_is_as_likely() -> None:
    lies = made("satellite", "light", corner(), **WHOLE)
    quarters = torch.stack([lies[:, 0, a, b] for a in (2, 13) for b in (2, 13)], dim=1)
    where = quarters.argmax(dim=1).bincount(minlength=4) / COUNT
    assert (where - 0.25).abs().max() < 0.07
    mirrored = (quarters.roll(-1, 1) - 0.5).abs() < 0.1  # of two neighbours in a row, which holds the half
    assert 0 < mirrored.float().mean() < 1


def test_bands_keep_their_ratios_but_for_what_air_changes() -> None:
    bands = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1]).view(5, 1, 1).expand(5, 16, 16)
    for x in (bands, bands[:3]):
        seen = made("satellite", "strong", x).mean(dim=(2, 3))
        ratio = seen / seen[:, :1]
        wanted = x[:, 0, 0] / x[0, 0, 0]
        assert (ratio / wanted).min() > 0.85 and (ratio / wanted).max() < 1.18
        assert seen[:, 0].std() > 0.005  # and yet as bright as the sun shines


def test_x_rays_have_no_colours_and_other_presets_keep_them() -> None:
    x = torch.tensor([0.5, 0.3, 0.2]).view(3, 1, 1).expand(3, 16, 16)
    grey = made("xray", "light", x)
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-5)
    for kind in ("satellite", "microscopy"):
        seen = made(kind, "strong", x).mean(dim=(2, 3))
        assert (seen[:, 0] > seen[:, 2]).all()


def test_no_preset_solarises_or_takes_a_view_that_has_no_blur_to_one() -> None:
    for kind, views in VIEWS_FOR.items():
        for name, own in views.items():
            assert own.get("solarise", 0) == 0 and own.get("blur", 0) == 0, (kind, name)


def test_a_recipe_names_them_all_and_their_values_stay() -> None:
    """Runs are resumed by the name of a preset alone: another one takes another name."""
    known = [name for part in get_args(Pretrain.model_fields["views_for"].annotation) for name in get_args(part)]
    assert known == list(VIEWS_FOR) == list(modality.named("images").VIEWS_FOR)
    values = [(kind, name, sorted(own.items())) for kind, views in VIEWS_FOR.items() for name, own in views.items()]
    assert digest(repr(values)) == "0a3021022f0565658a9a5bd705ffc814"


def test_quarter_turns_are_refused_where_views_are_no_squares() -> None:
    with pytest.raises(UsageError, match=r"these are 16 x 24; use --size 16, or --views\.light\.turn 0"):
        Views(("light",), facts((16, 24)), options={"light": {"turn": 0.5}})
    Views(("strong",), facts((16, 24)), options={"light": {"turn": 0.5}})
