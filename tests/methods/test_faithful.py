"""Options that give a method what its paper or its authors' code has, where the default is something else."""

import pytest
import torch
import torch.nn.functional as F

from selftaught.methods.objectives.redundancy import cross_correlation, off_diagonal
from selftaught.methods.parts.heads import DistillationHead
from selftaught.system import randomness
from tests.methods.making import BATCH, made, views
from tests.methods.test_details import run


def test_directions_drawn_as_the_authors_do_turn_further_in_a_step() -> None:
    torch.manual_seed(0)
    normal, uniform = (DistillationHead(8, 500, 16, 64, last_layer=kind) for kind in ("normal", "uniform"))
    assert uniform.directions.abs().max() <= 1 / 8
    assert float(uniform.directions.detach().std()) == pytest.approx(1 / 8 / 3**0.5, rel=0.02)
    turned = []
    for head in (normal, uniform):
        before = head.directions.detach().clone()
        torch.manual_seed(1)
        x = torch.randn(32, 8)
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
        head(x).square().sum().backward()
        optimizer.step()
        turned.append(1 - F.cosine_similarity(before, head.directions.detach()).mean())
    assert turned[1] > 10 * turned[0]


@pytest.mark.parametrize("name", ["dino", "ibot"])
def test_lengths_of_directions_are_learnt_where_they_are_not_normed(name: str) -> None:
    normed, method = made(name), made(name, norm_last_layer=False)
    assert normed.head.lengths is None and not any("lengths" in key for key in normed.state_dict())
    # They start as one: the first loss is the same.
    batch = views(method)
    losses = [sum(run(each.eval(), *batch).values()) for each in (normed, method)]
    assert torch.equal(*losses)
    losses[1].backward()
    head = method.head
    assert head.lengths.grad.any()
    with torch.no_grad():
        before = head(torch.ones(1, method.encoder.dim))
        head.lengths.mul_(2.0)
        assert torch.equal(head(torch.ones(1, method.encoder.dim)), 2 * before)
    method.before_step(0.0)  # at rest at first, with the directions
    assert head.lengths.grad is None and head.directions.grad is None


APART = ["barlow_twins", "vicreg", "simsiam", "byol", "mocov3", "nnclr", "wmse"]


@pytest.mark.parametrize("name", APART)
def test_views_go_through_batch_norm_together_or_apart(name: str) -> None:
    together, apart = (made(name, views_apart=value) for value in (False, True))
    batch = views(together)
    batch = (batch[0], 3 * batch[1] + 1)  # views whose statistics differ
    seen: dict[bool, list[int]] = {False: [], True: []}
    for kind, method in ((False, together), (True, apart)):
        encoder = method.encoder.register_forward_hook(lambda _, given, __, k=kind: seen[k].append(len(given[0])))
        loss = sum(run(method, *batch).values())
        encoder.remove()
        loss.backward()
        assert loss.isfinite() and any(p.grad is not None for p in method.encoder.parameters())
    assert set(seen[False]) == {2 * len(batch[0])} and set(seen[True]) == {len(batch[0])}


def test_views_apart_are_each_normed_by_themselves() -> None:
    method = made("barlow_twins", views_apart=True)
    a, b = views(method)
    with torch.no_grad():
        alone = [method.projector(method.encoder(view)) for view in (a, 3 * b + 1)]
        expected = cross_correlation(*alone)
        found = sum(run(method, a, 3 * b + 1).values())
    wanted = (expected.diagonal() - 1).square().sum() + method.lambd * off_diagonal(expected)
    assert found == pytest.approx(float(method.scale_loss * wanted), rel=1e-4)


def test_mocov3s_heads_for_a_resnet_have_two_layers_and_no_last_norm() -> None:
    usual, resnet = made("mocov3"), made("mocov3", projector_layers=2, predictor_norm=False)
    kinds = [[type(layer).__name__ for layer in head] for head in (resnet.projector, resnet.predictor)]
    assert kinds == [
        ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"],
        ["Linear", "BatchNorm1d", "ReLU", "Linear"],
    ]
    assert len(usual.projector) == 8 and len(usual.predictor) == 5 and usual.predictor[-1].weight is None


def test_mmcrs_views_are_of_two_kinds_in_turn() -> None:
    assert made("mmcr", strong_views=3).views == ("strong",) * 3
    assert made("mmcr", strong_views=3, asymmetric=True).views == ("strong", "strong_other", "strong")


@pytest.mark.parametrize("name", ["data2vec", "ibot", "maskfeat"])
def test_blocks_may_be_drawn_as_in_beits_code(name: str) -> None:
    cut, grown = made(name), made(name, blocks="grown")
    batch = views(grown)
    losses = [float(sum(run(method.eval(), *batch).values())) for method in (cut, grown)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", ["colorization", "split_brain"])
def test_colours_may_be_all_there_are(name: str) -> None:
    sampled, whole = made(name), made(name, colours="all")
    assert [len(method.space.bins) for method in (sampled, whole)] == [260, 261]
    assert sum(run(whole, *views(whole)).values()).isfinite()


def test_ijepas_blocks_may_come_from_the_authors_collator() -> None:
    shown = {}
    for kind in ("paper", "authors"):
        method = made("ijepa", collator=kind)
        with randomness.at(0, 0, slice(0, BATCH)):
            shown[kind] = method._blocks(views(method)[0]).context.shape[1]
    assert shown["authors"] < shown["paper"]


def test_relative_locations_other_channels_may_be_noise() -> None:
    copies, noise = made("relative_location"), made("relative_location", dropped="noise")
    (x,) = views(copies)
    with randomness.at(0, 0, slice(0, BATCH)):
        assert copies.tiles(x).std(dim=2).max() < 1e-6 < noise.tiles(x).std(dim=2).min()
