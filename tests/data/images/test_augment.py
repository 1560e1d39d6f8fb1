"""Batched augmentation equals torchvision, image by image, for the same parameters."""

import pytest
import torch
import torchvision.transforms.v2.functional as T
from torch import Tensor

from selftaught.data.images import augment
from selftaught.data.images.augment import Change

ZERO, ONE = (0.0,) * 3, (1.0,) * 3


def change(count: int, box: tuple[float, ...] | list = (0, 0, 20, 24), **fields) -> Change:
    ones, zeros, no = torch.ones(count), torch.zeros(count), torch.zeros(count, dtype=torch.bool)
    boxes = torch.tensor(box, dtype=torch.float32)
    made = Change(boxes.expand(count, 4) if boxes.ndim == 1 else boxes, no, ones, ones, ones, zeros, no, zeros, no)
    for name, value in fields.items():
        setattr(made, name, torch.as_tensor(value))
    return made


def images(count: int = 4, channels: int = 3, height: int = 20, width: int = 24) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(20, 24), (7, 9), (33, 40), (5, 24)])
def test_crop_flip_and_resize_equal_torchvisions(channels: int, size: tuple[int, int]) -> None:
    x = images(4, channels)
    boxes = [[0, 0, 20, 24], [3, 5, 10, 7], [11, 2, 9, 20], [19, 23, 1, 1]]
    flips = [False, True, False, True]
    ours = augment.resize(x, change(4, boxes, flip=flips), size)
    for i, ((top, left, height, width), flip) in enumerate(zip(boxes, flips)):
        theirs = T.resized_crop(x[i], top, left, height, width, list(size), antialias=True)
        theirs = T.horizontal_flip(theirs) if flip else theirs
        assert torch.allclose(ours[i], theirs, atol=1e-5), i


def test_a_box_between_pixels_lies_between_its_neighbours() -> None:
    ramp = torch.arange(24.0).expand(1, 1, 20, 24)
    out = augment.resize(ramp, change(1, (0, 4.5, 20, 8)), (20, 8))
    assert torch.allclose(out[0, 0, 0, 1:-1], torch.arange(5.5, 11.5), atol=1e-4)


@pytest.mark.parametrize("size", [(6, 50), (40, 9)])
def test_a_fractional_box_equals_the_filter_written_out(size: tuple[int, int]) -> None:
    """The triangle filter as a sum over every pixel of the image, in float64."""
    x = images(3, 2)
    boxes = [[0.3, 1.7, 15.5, 20.1], [7.2, 0.0, 3.4, 23.9], [18.9, 11.1, 0.6, 0.7]]
    ours = augment.resize(x, change(3, boxes, flip=[False, True, False]), size)

    def matrix(start: float, length: float, pixels: int, out: int) -> Tensor:
        made, scale = torch.zeros(out, pixels, dtype=torch.float64), length / out
        for i in range(out):
            centre = start + (i + 0.5) * scale
            for j in range(pixels):
                if j + 1 > start and j < start + length:
                    made[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / max(scale, 1))
        return made / made.sum(dim=1, keepdim=True)

    for i, (top, left, height, width) in enumerate(boxes):
        theirs = matrix(top, height, 20, size[0]) @ x[i].double() @ matrix(left, width, 24, size[1]).mT
        theirs = theirs.flip(2) if i == 1 else theirs
        assert torch.allclose(ours[i].double(), theirs, atol=2e-5), i


def test_the_whole_image_at_its_own_size_is_untouched() -> None:
    x = images(2)
    assert torch.equal(augment.resize(x, change(2), (20, 24)), x)


def test_a_blur_joined_to_the_resize_equals_torchvisions_after_it() -> None:
    x = images(3, 3, 50, 44)
    made = change(3, (4, 6, 40, 30), sigma=torch.tensor([1.3, 0.0, 0.5]), flip=[True, False, False])
    ours = augment.resize(x, made, (64, 32))
    for i, sigma in enumerate((1.3, 0.0, 0.5)):
        theirs = T.resized_crop(x[i], 4, 6, 40, 30, [64, 32], antialias=True)
        theirs = T.horizontal_flip(theirs) if i == 0 else theirs
        kernel = [augment.kernel_size(32), augment.kernel_size(64)]  # torchvision takes (x, y)
        theirs = T.gaussian_blur(theirs, kernel, [sigma, sigma]) if sigma else theirs
        assert torch.allclose(ours[i], theirs, atol=2e-5), i


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 5), (2, 1, 3, 1)])  # where a transpose moves nothing, too
def test_stored_values_become_new_ones_in_the_unit_range(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    stored = (images(*shape) * 200).to(dtype)
    kept = stored.clone()
    made = augment.unit(stored, 10, 210)
    assert torch.allclose(made.double(), (kept.double() - 10) / 200, atol=1e-6)
    assert torch.equal(stored, kept) and made.dtype == torch.float32


FACTORS = torch.tensor([0.6, 1.0, 1.4, 0.3])
HUES = torch.tensor([-0.1, 0.0, 0.2, 0.45])


@pytest.mark.parametrize(
    ("fields", "theirs"),
    [
        ({"brightness": FACTORS}, lambda x, i: T.adjust_brightness(x, FACTORS[i].item())),
        ({"contrast": FACTORS}, lambda x, i: T.adjust_contrast(x, FACTORS[i].item())),
        ({"saturation": FACTORS}, lambda x, i: T.adjust_saturation(x, FACTORS[i].item())),
        ({"hue": HUES}, lambda x, i: T.adjust_hue(x, HUES[i].item())),
        ({"grey": torch.ones(4, dtype=torch.bool)}, lambda x, i: T.rgb_to_grayscale(x, 3)),
        ({"solarise": torch.ones(4, dtype=torch.bool)}, lambda x, i: T.solarize(x, 0.5)),
        ({"sigma": torch.full((4,), 0.8)}, lambda x, i: T.gaussian_blur(x, [3, 3], [0.8, 0.8])),
    ],
)
def test_exact_mode_equals_torchvision_operation_by_operation(fields: dict, theirs) -> None:
    x = images()
    ours = augment.exact(x.clone(), change(4, **fields), (20, 24), ZERO, ONE)
    for i in range(4):
        assert torch.allclose(ours[i], theirs(x[i], i), atol=2e-5), i


def test_exact_mode_keeps_each_images_own_order() -> None:
    x = images(2)
    factors = torch.tensor([0.5, 0.5])
    made = change(2, brightness=factors, contrast=factors, saturation=factors, hue=torch.tensor([0.1, 0.1]))
    made.order = torch.tensor([[3, 1, 0, 2], [0, 1, 2, 3]])
    ours = augment.exact(x.clone(), made, (20, 24), ZERO, ONE)
    steps = [
        lambda v: T.adjust_brightness(v, 0.5),
        lambda v: T.adjust_contrast(v, 0.5),
        lambda v: T.adjust_saturation(v, 0.5),
        lambda v: T.adjust_hue(v, 0.1),
    ]
    for i in range(2):
        expected = x[i]
        for number in made.order[i]:
            expected = steps[number](expected)
        assert torch.allclose(ours[i], expected, atol=2e-5)


def test_a_wide_blur_equals_torchvisions_and_reflects_at_the_edges() -> None:
    x = images(2, 1, 60, 60)
    made = change(2, (0, 0, 60, 60), sigma=torch.tensor([1.7, 0.4]))
    ours = augment.exact(x.clone(), made, (60, 60), ZERO[:1], ONE[:1])
    assert augment.kernel_size(60) == 7
    for i, sigma in enumerate((1.7, 0.4)):
        assert torch.allclose(ours[i], T.gaussian_blur(x[i], [7, 7], [sigma, sigma]), atol=2e-5)


@pytest.mark.parametrize("field", ["brightness", "contrast", "saturation"])
def test_a_single_change_is_the_same_in_both_modes(field: str) -> None:
    """One linear colour change has no order and no second clamp: the fused mode is exact there."""
    made = change(4, **{field: FACTORS})
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    fused = augment.fused(images(), made, (10, 12), mean, std)
    exact = augment.exact(images(), made, (10, 12), mean, std)
    assert torch.allclose(fused, exact, atol=1e-4)


def test_hue_turns_the_same_way_in_both_modes_and_leaves_greys() -> None:
    x = torch.full((2, 3, 6, 6), 0.5)
    made = change(2, (0, 0, 6, 6), hue=torch.tensor([0.08, -0.31]))
    assert torch.allclose(augment.fused(x, made, (6, 6), ZERO, ONE), x, atol=2e-4)
    x += 0.05 * torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)

    def chroma(mode) -> Tensor:
        turned = mode(x.clone(), made, (6, 6), ZERO, ONE)
        return (turned - T.rgb_to_grayscale(turned, 3)).flatten(1)

    # HSV keeps the largest value and YIQ the luma, so they agree in the direction of the colour alone.
    assert (torch.cosine_similarity(chroma(augment.fused), chroma(augment.exact)) > 0.9).all()


def test_solarising_inverts_what_is_bright_in_normalised_values_too() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    x, made = images(), change(4, solarise=[True, False, True, False])
    fused = augment.fused(x, made, (20, 24), mean, std)
    expected = torch.stack([T.solarize(image, 0.5) if i % 2 == 0 else image for i, image in enumerate(x)])
    expected = T.normalize(expected, list(mean), list(std))
    assert torch.allclose(fused, expected, atol=1e-4)


def test_the_fused_mode_deviates_little_from_the_exact_one() -> None:
    """Hue in YIQ, one clamp, fixed order, blur before the colours: some percent of the range on average.

    Without the solarised ones, at the default strengths: 0.036 on these random colours; 0.028 on scikit-learn's photos.
    """
    count, draws = 256, torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6, generator=draws), size=(32, 32), mode="bicubic")
    x = x.clamp(0, 1)

    def factor() -> Tensor:
        return 0.6 + 0.8 * torch.rand(count, generator=draws)

    made = change(count, (2, 3, 25, 22), brightness=factor(), contrast=factor(), saturation=factor())
    made.hue = 0.2 * torch.rand(count, generator=draws) - 0.1
    made.sigma = torch.where(torch.arange(count) % 2 == 0, 1.0, 0.0)
    made.solarise = torch.arange(count) % 5 == 0
    made.order = torch.rand(count, 4, generator=draws).argsort(dim=1)
    fused = augment.fused(x, made, (32, 32), ZERO, ONE)
    exact = augment.exact(x.clone(), made, (32, 32), ZERO, ONE)
    calm = ~made.solarise  # a pixel near one half may fall on either side of the solarisation's threshold
    deviation = (fused - exact).abs()
    assert deviation[calm].mean() < 0.04 and deviation.mean() < 0.05


def test_grey_images_have_no_colour_to_change() -> None:
    x = images(4, 1)
    made = change(4, saturation=FACTORS, hue=HUES, grey=torch.ones(4, dtype=torch.bool))
    for mode in (augment.fused, augment.exact):
        assert torch.allclose(mode(x.clone(), made, (20, 24), ZERO[:1], ONE[:1]), x, atol=1e-5)


EIGHT = [(flip, upset, transpose) for flip in (False, True) for upset in (False, True) for transpose in (False, True)]


def test_mirrored_upset_and_transposed_is_what_torch_makes_of_it() -> None:
    x = images(8, 3, 20, 24)
    flips, upsets, transposes = (torch.tensor(column) for column in zip(*EIGHT))
    ours = augment.resize(x, change(8, flip=flips, upset=upsets, transpose=transposes), (9, 9))
    straight = augment.resize(x, change(8), (9, 9))
    for i, (flip, upset, transpose) in enumerate(EIGHT):
        theirs = straight[i].flip([axis for axis, wanted in ((2, flip), (1, upset)) if wanted])
        assert torch.allclose(ours[i], theirs.mT if transpose else theirs, atol=1e-5), i


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_channels_change_apart_before_all_change_together(channels: int) -> None:
    """Both ways, where nothing has to be clamped, are the formula: a channel about its own mean, then all together."""
    x = images(4, channels) * 0.2 + 0.3
    bright, contrast = torch.linspace(0.8, 1.1, 8 * channels).view(4, 2, channels).unbind(1)
    fields = {"apart": torch.stack([bright, contrast], dim=1), "brightness": FACTORS.clamp(0.8, 1.2)}
    alone = x * bright[:, :, None, None]
    alone = alone + (contrast - 1)[:, :, None, None] * (alone - alone.mean(dim=(2, 3), keepdim=True))
    wanted = alone * fields["brightness"].view(-1, 1, 1, 1)
    normal = [0.0] * channels, [1.0] * channels
    for way in (augment.exact, augment.fused):
        assert torch.allclose(way(x.clone(), change(4, **fields), (20, 24), *normal), wanted, atol=1e-5), way
    grey = change(4, **fields, contrast=FACTORS.clamp(0.9, 1.1), saturation=FACTORS.clamp(0.8, 1.2))
    exact, fused = (way(x.clone(), grey, (20, 24), *normal) for way in (augment.exact, augment.fused))
    assert torch.allclose(exact, fused, atol=1e-5)
