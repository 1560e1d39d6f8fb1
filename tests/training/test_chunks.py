"""A batch encoded in chunks has the loss and the gradient of the whole, and half-finished statistics of none of it."""

from copy import deepcopy

import pytest
import torch

from selftaught.data.encoders import Own
from selftaught.system import randomness
from selftaught.training.chunks import encode_in_chunks
from tests.methods.making import BATCH, made, views


def gradients(name: str, chunk: int | None, dtype: torch.dtype) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    crops = {"local_crops": 0} if name == "dino" else {}  # timm resamples positions in float32, whatever they are
    method = made(name, encoder="test_vit", **crops).to(dtype)
    if chunk:
        encode_in_chunks(method, chunk)
    batch = [view if view.dtype == torch.int64 else view.to(dtype) for view in views(method)]
    with randomness.at(0, 0, slice(0, BATCH)):
        loss = torch.stack(list(method(*batch).values())).sum()
    loss.backward()
    return loss.detach(), {key: p.grad for key, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["simclr", "byol", "mae", "ibot", "denoising", "dino"])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_chunks_change_neither_loss_nor_gradient(name: str, dtype: torch.dtype, error: float) -> None:
    (whole, expected), (parts, found) = gradients(name, None, dtype), gradients(name, 3, dtype)
    assert abs(parts - whole) <= error * abs(whole)
    assert found.keys() == expected.keys()
    size = torch.stack([grad.norm() for grad in expected.values()]).norm()  # some are zero but for rounding
    for key, grad in expected.items():
        assert (found[key] - grad).norm() <= error * size, key


def test_who_may_look_at_whom_is_shared_by_a_batch_as_large_as_its_tokens() -> None:
    method = made("aim", encoder="test_vit")
    encoder, x = method.encoder, views(method)[0]
    count = encoder.tokens(x).patches.shape[1]
    batch, attend = x[:1].repeat(count, 1, 1, 1), torch.ones(count, count, dtype=torch.bool).tril()
    whole = encoder.tokens(batch, attend=attend).patches
    encode_in_chunks(method, count // 2)
    torch.testing.assert_close(encoder.tokens(batch, attend=attend).patches, whole)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(12, 4, [4, 4, 4]), (9, 4, [3, 3, 3]), (13, 4, [4, 3, 3, 3]), (8, 3, [3, 3, 2]), (5, 4, [3, 2]), (4, 4, [4])],
)
def test_no_chunk_is_much_smaller_than_others(count: int, size: int, expected: list[int]) -> None:
    method, seen = made("simclr"), list[int]()
    encoder = method.encoder
    encoder.forward = lambda x: seen.append(len(x)) or x.flatten(1)  # type: ignore[method-assign]
    encode_in_chunks(method, size)
    x = torch.arange(count * 3.0).view(count, 3, 1, 1)
    with torch.no_grad():
        assert torch.equal(encoder(x), x.flatten(1))
    assert sorted(seen, reverse=True) == expected


def test_running_statistics_move_once_a_chunk() -> None:
    method = made("simclr")
    encode_in_chunks(method, 4)
    with randomness.at(0, 0, slice(0, BATCH)):
        loss = sum(method(*views(method)).values())
    before = {key: value.clone() for key, value in method.encoder.named_buffers()}
    assert before["net.bn1.num_batches_tracked"] == 2 * BATCH // 4
    loss.backward()
    after = dict(method.encoder.named_buffers())
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "kind", "encoder"),
    [
        ("simclr", "images", "test_vit"),
        *((name, "images", encoder) for name in ("subtab", "distill") for encoder in ("test_resnet", "test_vit")),
        ("subtab", "series", "dilated_conv"),
    ],
)
def test_fewer_numbers_are_kept_for_the_gradient(name: str, kind: str, encoder: str) -> None:
    def kept(chunk: int | None) -> int:
        # Of heads and decoders all is kept: narrow ones, beside what is measured.
        narrow = {"decoder_width": 2} if name == "subtab" else {}
        method, sizes = made(name, encoder=encoder, kind=kind, **narrow), []
        if chunk:
            encode_in_chunks(method, chunk)
        batch = views(method, kind=kind)
        with (
            torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x),
            randomness.at(0, 0, slice(0, BATCH)),
        ):
            method(*batch)
        return sum(sizes)

    assert kept(2) < kept(None) / 5


@pytest.mark.parametrize(
    ("name", "kind", "encoder"),
    [("subtab", "images", "test_resnet"), ("distill", "images", "test_vit"), ("subtab", "series", "dilated_conv")],
)
def test_features_and_maps_of_chunks_are_those_of_the_batch(name: str, kind: str, encoder: str) -> None:
    method = made(name, encoder=encoder, kind=kind).eval()
    x, seen = views(method, kind=kind)[0], list[int]()
    whole = method.encoder.feature_and_map(x)
    encode_in_chunks(method, 3)
    convolution = next(part for part in method.encoder.modules() if isinstance(part, torch.nn.Conv1d | torch.nn.Conv2d))
    convolution.register_forward_pre_hook(lambda layer, given: seen.append(len(given[0])))
    torch.testing.assert_close(method.encoder.feature_and_map(x), whole)
    assert sorted(set(seen)) == [2, 3]


def test_a_network_of_ones_own_is_asked_for_both_in_chunks() -> None:
    encoder, seen = Own(torch.nn.Conv2d(3, 4, 3), (3, 8, 8), "images"), list[int]()
    encode_in_chunks(encoder, 3)
    encoder.net.register_forward_pre_hook(lambda net, given: seen.append(len(given[0])))
    feature, places = encoder.feature_and_map(torch.randn(8, 3, 8, 8))
    assert seen == [3, 3, 2] and feature.shape == (8, 4) and places.shape == (8, 4, 6, 6)


def test_a_teacher_that_others_have_taught_takes_chunks_too() -> None:
    method, seen = made("distill"), list[int]()
    encode_in_chunks(method, 3)
    teacher = method.teacher.network
    inner = teacher.feature_and_map
    teacher.feature_and_map = lambda x: seen.append(len(x)) or inner(x)  # type: ignore[method-assign]
    with randomness.at(0, 0, slice(0, BATCH)):
        method(*views(method))
    assert seen == [3, 3, 2]


@torch.no_grad()
def test_a_copy_asks_its_own_encoder() -> None:
    method = made("mae", encoder="test_vit")
    encode_in_chunks(method, 3)
    whole, x = deepcopy(method), views(method)[0]
    expected = method.encoder(x)
    for weight in method.parameters():
        weight.zero_()
    assert torch.equal(whole.encoder(x), expected) and not method.encoder(x).any()
