"""The vocabulary of views: sizes, normalisation, true geometry, addresses and options."""

import pytest
import torch
from torch import Tensor

from selftaught.data.images.preparation import Preparation
from selftaught.data.images.views import Views, centred_box, random_boxes
from selftaught.system import randomness
from selftaught.system.errors import UsageError


def facts(size: tuple[int, int] = (32, 32), channels: int = 3, high: float = 255) -> Preparation:
    return Preparation(channels=channels, size=size, low=0, high=high, mean=(0.4,) * channels, std=(0.2,) * channels)


def batch(count: int = 16, channels: int = 3, side: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (count, channels, side, side), generator=draws, dtype=torch.uint8)
    return torch.arange(count), x, torch.ones(count)


def at(step: int, views: Views, rows: slice = slice(0, 16), total: int = 16) -> tuple[Tensor, ...]:
    number, x, aspect = batch()
    with randomness.at(0, step, rows, total):
        return views(number[rows], x[rows], aspect[rows])


ALL = ("plain", "light", "strong", "strong_other", "global", "local", "index")


def test_every_view_has_its_size_and_finite_values() -> None:
    views = Views(ALL, facts(), patch=4)
    made = dict(zip(ALL, at(0, views)))
    assert made["index"].tolist() == list(range(16))
    assert made["local"].shape == (16, 3, 12, 12)  # 3/7 of 32 rounded to a multiple of 4
    for name in ALL[:-2]:
        assert made[name].shape == (16, 3, 32, 32) and made[name].isfinite().all()


def test_plain_is_the_image_itself_normalised() -> None:
    (plain,) = at(0, Views(("plain",), facts()))
    assert torch.allclose(plain, (batch()[1].float() / 255 - 0.4) / 0.2, atol=1e-6)


def test_a_view_is_a_function_of_its_address() -> None:
    views = Views(("strong", "strong"), facts())
    first, again, later = at(3, views), at(3, views), at(4, views)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.allclose(first[0], first[1]) and not torch.allclose(first[0], later[0])


@pytest.mark.parametrize("exact", [False, True])
def test_part_of_a_batch_gets_the_views_it_has_in_the_whole(exact: bool) -> None:
    views = Views(("strong", "local"), facts(), patch=4, exact=exact)
    whole, part = at(1, views), at(1, views, slice(4, 9))
    for a, b in zip(whole, part):
        assert torch.allclose(a[4:9], b, atol=1e-6)


@pytest.mark.parametrize("exact", [False, True])
def test_working_on_parts_of_a_batch_changes_nothing(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large batch is made a cacheful at a time: the numbers are those of the batch made at once."""
    drawn = Views(("plain", "strong_other", "local"), facts((96, 96)), exact=exact)
    whole = at(2, drawn)
    monkeypatch.setattr("selftaught.data.images.views.CACHED", 1)
    monkeypatch.setattr("selftaught.data.images.views.FEWEST", 3)
    for a, b in zip(whole, at(2, drawn)):
        assert torch.allclose(a, b, atol=1e-6)


def test_images_given_as_numbers_in_memory_are_left_alone() -> None:
    x = torch.rand(4, 3, 32, 32) * 2
    kept = x.clone()
    with randomness.at(0, 0, slice(0, 4)):
        Views(("plain", "strong"), facts(high=2))(torch.arange(4), x, torch.ones(4))
    assert torch.equal(x, kept)


def test_number_type_and_layout_change_no_value() -> None:
    plain, strong = at(0, Views(("plain", "strong"), facts()))
    for dtype, atol in ((torch.float32, 0), (torch.bfloat16, 0.02)):
        made = at(0, Views(("plain", "strong"), facts(), dtype=dtype, channels_last=True))
        for ours, expected in zip(made, (plain, strong)):
            assert ours.dtype == dtype and ours.is_contiguous(memory_format=torch.channels_last)
            assert torch.allclose(ours.float(), expected, atol=atol)
    assert plain.is_contiguous() and strong.is_contiguous()


def test_plain_undoes_the_squash_of_a_wide_photo() -> None:
    """A photo twice as wide as high, squashed onto a square: plain shows its centre undistorted."""
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., 20:44] = 1  # 24 of 64 canvas columns are 48 true ones beside 64 rows
    (plain,) = Views(("plain",), facts((64, 64), high=1))(torch.arange(1), stripes, torch.tensor([2.0]))
    bright = (plain[0, 0, 32] * 0.2 + 0.4 > 0.5).nonzero().flatten()
    assert (len(bright), bright[0].item(), bright[-1].item()) == (48, 8, 55)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_any_channels_and_number_type(channels: int, dtype: torch.dtype) -> None:
    high = {torch.uint8: 255, torch.uint16: 4000, torch.float32: 2.5}[dtype]
    x = (torch.rand(6, channels, 20, 20) * high).to(dtype)
    views = Views(("plain", "strong", "strong_other"), facts((16, 16), channels, high))
    with randomness.at(0, 0, slice(0, 6)):
        made = views(torch.arange(6), x, torch.ones(6))
    limit = ((0 - 0.4) / 0.2, (1 - 0.4) / 0.2)
    for view in made:
        assert view.dtype == torch.float32 and view.min() >= limit[0] - 1e-3 and view.max() <= limit[1] + 1e-3


def test_the_centred_box_of_a_squashed_photo_is_square_in_truth() -> None:
    box = centred_box((64, 64), torch.tensor([2.0, 0.5, 1.0]), (32, 32))
    assert box.tolist() == [[0, 16, 64, 32], [16, 0, 32, 64], [0, 0, 64, 64]]
    assert centred_box((64, 64), torch.tensor([1.0]), (16, 32)).tolist() == [[16, 0, 32, 64]]


@pytest.mark.parametrize("aspect", [0.4, 1.0, 1.8, 9.0])
def test_random_boxes_keep_area_and_ratio_in_true_geometry(aspect: float) -> None:
    count = 4000
    draws = torch.rand(count, 22, generator=torch.Generator().manual_seed(1))
    boxes = random_boxes(draws, (64, 64), torch.full((count,), aspect), (0.2, 0.8))
    top, left, height, width = boxes.unbind(dim=1)
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 64.001).all() and (left + width <= 64.001).all()
    ratio, share = width / height * aspect, height * width / 64**2
    assert (ratio > 0.749).all() and (ratio < 1.334).all()
    if aspect < 2:  # in a long panorama no box of the ratio is as large as asked for
        assert share.min() > 0.199 and share.max() < 0.801
        assert 0.3 < share.mean() < 0.55
    assert (64 - width - left).std() > 0.5 and left.std() > 0.5


def test_chances_are_what_the_options_say() -> None:
    off = {"jitter": 0, "grey": 0, "blur": 0, "crop": [1.0, 1.0]}
    views = Views(("strong",), facts(), options={"strong": {**off, "flip": 1.0}})
    (flipped,) = at(0, views)
    assert torch.allclose(flipped.flip(3), at(0, Views(("plain",), facts()))[0], atol=1e-5)
    views = Views(("strong",), facts(), options={"strong": {**off, "flip": 0.0, "grey": 1.0}})
    (grey,) = at(0, views)
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-5)


def test_hue_has_a_strength_of_its_own_for_each_of_jitters() -> None:
    _, x, aspect = batch(256)
    for options, most in (({}, 0.1), ({"hue": 0.4}, 0.2), ({"hue": 9.0}, 0.5)):
        views = Views(("strong",), facts(), options={"strong": {"jitter": 0.5, "jitter_probability": 1.0, **options}})
        with randomness.at(0, 0, slice(0, 256), 256):
            turned = views._change("strong", x, aspect).hue.abs().max()
        assert 0.95 * most < turned <= most


def test_small_images_are_not_blurred_unless_asked() -> None:
    assert Views(("strong",), facts()).describe()["strong"]["blur"] == 0
    assert Views(("strong",), facts((96, 96))).describe()["strong"]["blur"] == 0.5
    assert Views(("strong",), facts(), options={"strong": {"blur": 0.3}}).describe()["strong"]["blur"] == 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stronk": {}}, "no view named 'stronk'; did you mean 'strong'"),
        ({"strong": {"jiter": 1}}, "did you mean 'jitter'"),
        ({"strong": {"flip": 2}}, "view strong option 'flip' cannot be 2: it is a probability"),
        ({"strong": {"grey": -0.1}}, "it is a probability"),
        ({"strong": {"jitter_probability": 1.1}}, "it is a probability"),
        ({"strong": {"solarise": 2}}, "it is a probability"),
        ({"strong": {"crop": [0.5, 0.2]}}, r"cannot be \[0.5, 0.2\]: it is two shares of the area, such as 0.2,1"),
        ({"strong": {"crop": [0, 1]}}, "two shares"),
        ({"strong": {"crop": [0.5, 1.5]}}, "two shares"),
        ({"strong": {"crop": 0.5}}, "two shares"),
        ({"strong": {"blur": "much"}}, "cannot be 'much': it is a probability"),
        ({"strong": {"jitter": -1}}, "it is a strength, 0 or more"),
        ({"strong": {"scale": 0}}, "it is a share of --size"),
        ({"strong": {"blur_sigma": [2, 0.1]}}, "two widths in pixels, such as 0.1,2"),
        ({"strong": {"blur_sigma": [0, 0.1]}}, "two widths"),
        ({"plain": {"flip": 1}}, "view plain has no options"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Views(("strong",), facts(), options=options)


def test_options_are_listed_with_defaults() -> None:
    assert Views.defaults()["light"]["crop"] == (0.2, 1.0) and Views.defaults()["strong"]["jitter"] == 0.5
