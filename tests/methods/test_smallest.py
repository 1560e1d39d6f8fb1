"""Methods at the small end of what can be asked: few tokens, small shares. They learn of it, or refuse it in a line."""

from typing import Any

import pytest
import torch

from selftaught.contracts import modality
from selftaught.contracts.method import Data, Method
from selftaught.data.series.preparation import Preparation as OfSeries
from selftaught.data.tables.preparation import Preparation as OfRows
from selftaught.methods import registry
from selftaught.system import components, randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.methods.making import BATCH, COLUMNS, COUNT, PAIRS, clips, images, made, noise, small, views
from tests.networks import SHALLOW

SINGLE = {
    "images": (images(size=(8, 8)), Part(name="test_vit", options={"patch": 8, "depth": 1, "width": 16})),
    "audio": (clips((8, 8)), Part(name="test_vit", options={"patch": 8, "depth": 1, "width": 16})),
    "series": (
        OfSeries(names=("",), length=6, means=(0,), deviations=(1,)),
        Part(name="patch_transformer", options={"depth": 1, "width": 16, "patch": 6}),
    ),
    "tables": (
        OfRows(columns=COLUMNS[:1]),
        Part(name="ft_transformer", options={"depth": 1, "width": 16, "heads": 2}),
    ),
}
IN_CELLS = ("simmim", "maskfeat")
OF_TOKENS = [(name, kind) for name, kind in PAIRS if registry.method_class(name).needs_tokens or name in IN_CELLS]
# Cells so large that the share of them rounds to none.
COARSE = {"maskfeat": {"mask_patch_size": 8, "cell": 8}, "simmim": {"mask_patch_size": 8}}
SHARES = ("mae", "crossmae", "capi", "data2vec", *IN_CELLS)


def slope(method: Method, batch: list[torch.Tensor]) -> float:
    """The steepest that the loss is in any weight of the encoder."""
    with randomness.at(0, 0, slice(0, len(batch[0]))):
        sum(method(*batch).values()).backward()
    return max(float(p.grad.abs().max()) for p in method.encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in OF_TOKENS if pair[1] in SINGLE])
def test_of_a_single_token_a_method_learns_or_says_that_it_needs_two(name: str, kind: str) -> None:
    preparation, part = SINGLE[kind]
    encoder = modality.named(kind).build_encoder(part, preparation)
    try:
        method = registry.method_class(name)(encoder, Data.of(preparation, COUNT), **small(name))
    except UsageError as refused:
        shape = " x ".join(map(str, preparation.shape))
        wanted = f"{name} needs at least 2 (tokens|cells to hide), and samples of {shape} have 1; use "
        with pytest.raises(UsageError, match=wanted):
            raise refused
        assert ("--encoder.patch" in str(refused)) == (kind != "tables")
        return
    batch = [noise(kind, preparation.shape, BATCH, torch.default_generator) for _ in method.views]
    assert 0 < slope(method, batch) < float("inf")


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("encoder", ["tokens", "map"])
def test_a_share_too_small_for_one_token_hides_one_all_the_same(name: str, encoder: str) -> None:
    if encoder == "map" and name not in IN_CELLS:
        pytest.skip("works on tokens")
    method = made(name, encoder=SHALLOW if encoder == "tokens" else None, mask_ratio=0.01, **COARSE.get(name, {}))
    assert slope(method, views(method)) > 0


@pytest.mark.parametrize("told", [{"mask_ratio": 0.02}, {"mask_ratio": 0.15, "cell": 16}, {"mask_ratio": 0.01}, {}])
@pytest.mark.parametrize("encoder", [None, SHALLOW])
def test_maskfeat_asks_every_sample_for_what_was_most_hidden(told: dict[str, Any], encoder: Part | None) -> None:
    """Small parts may cover no histogram's half: then nothing was asked for of what they hid."""
    method, x = made("maskfeat", encoder=encoder, **told), torch.randn(64, 3, 32, 32)
    with torch.no_grad(), randomness.at(0, 0, slice(0, 64)):
        asked = method._predict(x)[2]
        hidden = method.blocks(64, method.cells, method.mask_ratio, x.device)
    pixels = method.hole.pixels(hidden).float()
    covered = torch.nn.functional.avg_pool2d(pixels, method.cell)
    assert asked.flatten(1).any(dim=1).all() and (covered[asked] > 0).all()
    usual = covered > 0.5
    some = usual.flatten(1).any(dim=1)
    assert torch.equal(asked[some], usual[some]) and (asked[~some].flatten(1).sum(dim=1) == 1).all()
    assert (covered[~some].amax(dim=(1, 2, 3)) == covered[~some][asked[~some]]).all()


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_nothing_is_none(name: str) -> None:
    with pytest.raises(UsageError, match=r"mask_ratio.* a share above 0"):
        components.checked("method", registry.method_class(name), {"mask_ratio": 0.0})


def test_simmim_and_maskfeat_refuse_cells_as_large_as_the_sample() -> None:
    for name in IN_CELLS:
        wanted = "needs at least 2 cells to hide, and samples of 3 x 32 x 32 have 1; use a smaller --method.mask_patch"
        with pytest.raises(UsageError, match=f"{name} {wanted}"):
            made(name, mask_patch_size=32)


@pytest.mark.parametrize(("cell", "count"), [(32, 1), (40, 0)])
def test_maskfeat_refuses_histograms_as_large_as_the_sample(cell: int, count: int) -> None:
    wanted = f"maskfeat needs at least 2 histograms, and samples of 3 x 32 x 32 have {count}; use a smaller --method.c"
    with pytest.raises(UsageError, match=wanted):
        made("maskfeat", cell=cell)


DEPTHS = dict.fromkeys(("mae", "crossmae", "capi"), "decoder_depth")
DEPTHS |= dict.fromkeys(("ijepa", "bootleg"), "predictor_depth")


@pytest.mark.parametrize("name", DEPTHS)
def test_a_decoder_without_a_block_would_tell_the_encoder_nothing(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{DEPTHS[name]}.* a whole number from 1 to 512"):
        components.checked("method", registry.method_class(name), {DEPTHS[name]: 0})
