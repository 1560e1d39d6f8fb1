"""What single methods promise beyond the contract."""

import math

import pytest
import torch

from selftaught import randomness
from selftaught.errors import UsageError
from tests.methods.test_contract import BATCH, made, views


def run(method, *batch):  # type: ignore[no-untyped-def]
    with randomness.at(0, 0, slice(0, BATCH)):
        return method(*batch)


def test_the_chance_level_is_the_loss_of_a_network_that_says_the_same_of_all() -> None:
    simclr = made("simclr")
    torch.nn.init.zeros_(simclr.projector[-1].weight)
    torch.nn.init.ones_(simclr.projector[-1].bias)
    assert sum(run(simclr, *views(simclr)).values()).item() == pytest.approx(simclr.chance(BATCH), abs=1e-4)
    rotation = made("rotation")
    torch.nn.init.zeros_(rotation.classifier.weight)
    torch.nn.init.zeros_(rotation.classifier.bias)
    assert sum(run(rotation, *views(rotation)).values()).item() == pytest.approx(math.log(4), abs=1e-5)
    mae = made("mae")
    torch.nn.init.zeros_(mae.decoder.predict.weight)
    torch.nn.init.zeros_(mae.decoder.predict.bias)
    assert sum(run(mae, *views(mae)).values()).item() == pytest.approx(mae.chance(BATCH), abs=1e-3)


def test_byols_teacher_is_no_part_of_the_gradient_and_slows_to_a_stop() -> None:
    byol = made("byol")
    sum(run(byol, *views(byol)).values()).backward()
    assert all(p.grad is None for p in byol.teacher.parameters())
    with torch.no_grad():
        for p in byol.encoder.parameters():
            p.add_(1.0)
    before = [p.clone() for p in byol.teacher.parameters()]
    byol.after_step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(byol.teacher.parameters(), before))
    byol.after_step(0.0)
    assert not all(torch.equal(a, b) for a, b in zip(byol.teacher.parameters(), before))


def test_byols_loss_is_symmetric_in_its_views() -> None:
    byol = made("byol").eval()
    a, b = views(byol)
    assert torch.allclose(run(byol, a, b)["cosine"], run(byol, b, a)["cosine"], atol=1e-6)


def test_swav_freezes_prototypes_first_and_keeps_them_on_the_sphere() -> None:
    swav = made("swav")
    for progress, frozen in ((0.0, True), (0.5, False)):
        swav.zero_grad()
        sum(run(swav, *views(swav)).values()).backward()
        swav.before_step(progress)
        assert (swav.prototypes.weight.grad is None) == frozen
    with torch.no_grad():
        swav.prototypes.weight.mul_(3.0)
    swav.after_step(0.5)
    assert torch.allclose(swav.prototypes.weight.norm(dim=1), torch.ones(len(swav.prototypes.weight)))


def test_swav_uses_its_queue_only_once_it_is_full_and_training_is_far_enough() -> None:
    swav = made("swav").eval()
    swav.epsilon = 0.5  # soft assignments: hard ones, of so few prototypes, would not change
    batch = views(swav)
    without = run(swav, *batch)["swapped"]
    for _ in range(2):  # 16 slots, 8 samples a step
        run(swav, *[torch.randn_like(view) for view in batch])
        swav.after_step(0.01)
    assert swav.queues[0].full
    early = run(swav, *batch)["swapped"]
    swav.seen.fill_(0.5)
    late = run(swav, *batch)["swapped"]
    assert torch.equal(without, early) and not torch.equal(early, late)


def test_swav_bounds_prototypes_and_queue_by_the_data() -> None:
    from selftaught.method import Data
    from selftaught.methods.contrastive.clusters.swav import SwAV

    encoder = made("swav").encoder
    small = SwAV(encoder, Data(90, (3, 32, 32), (0.5,) * 3, (0.2,) * 3))
    large = SwAV(encoder, Data(1_000_000, (3, 32, 32), (0.5,) * 3, (0.2,) * 3))
    assert len(small.prototypes.weight) == 3 and len(small.queues[0].features) == 11
    assert len(large.prototypes.weight) == 3000 and len(large.queues[0].features) == 3840


def test_maes_answer_ignores_what_is_hidden_and_its_picture_is_an_image() -> None:
    mae = made("mae").eval()
    (x,) = views(mae)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        _, predicted, hidden = mae._predict(x)
        patches = mae.tokens.patchify(x)
        other = mae.tokens.unpatchify(torch.where(hidden[..., None], torch.randn_like(patches), patches), (32, 32))
        _, again, _ = mae._predict(other)
        assert torch.equal(predicted, again)
        shown = mae.picture(x)
    answer = mae.tokens.patchify(shown["answer"])
    assert (
        torch.allclose(answer[~hidden], patches[~hidden]) and (mae.tokens.patchify(shown["shown"])[hidden] == 0).all()
    )
    # De-normalised with each true patch's statistics: a prediction of zero must give the patch's own mean.
    torch.nn.init.zeros_(mae.decoder.predict.weight)
    torch.nn.init.zeros_(mae.decoder.predict.bias)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        flat = mae.tokens.patchify(mae.picture(x)["answer"])
    expected = patches.mean(dim=2, keepdim=True).expand_as(patches)
    assert torch.allclose(flat[hidden], expected[hidden], atol=1e-5)


def test_rotation_turns_every_image_all_four_ways() -> None:
    from selftaught.methods.self_prediction.augmented.rotation import _all_turns

    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)
    turned, turns = _all_turns(x)
    assert turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(turned[:2], x) and torch.equal(turned[4:6], x.flip(2, 3))
    assert turned[2, 0, 0, 0] == x[0, 0, 0, 3]  # a quarter turn against the clock
    with pytest.raises(UsageError, match="square views, these are 32 x 48; use --size 32"):
        made("rotation", size=(32, 48))


@pytest.mark.parametrize("name", ["mae", "inpainting", "denoising", "simclr", "swav"])
def test_views_need_not_be_square(name: str) -> None:
    method = made(name, size=(32, 48))
    assert all(term.isfinite() for term in run(method, *views(method, size=(32, 48))).values())


def test_inpainting_weighs_the_rim_and_ignores_the_far_side() -> None:
    method = made("inpainting")
    hidden = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    hidden[..., 10:20, 10:20] = True
    weights = method._weights(hidden)[0, 0]
    assert method.overlap == 2
    assert weights[15, 15] == 1 and weights[9, 15] == 10 and weights[8, 15] == 10 and weights[7, 15] == 0


def test_denoisings_emphasis_weighs_what_was_destroyed() -> None:
    from selftaught.method import Data
    from selftaught.methods.self_prediction.perturbed.denoising import Denoising

    data = Data(64, (3, 32, 32), (0.5,) * 3, (0.25,) * 3)
    encoder = made("denoising").encoder
    torch.manual_seed(0)
    only = Denoising(encoder, data, alpha=1.0, beta=0.0, level=0.3, decoder_width=32).eval()
    x = views(only)[0]
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        noisy, hit = only.noise(x, 0.3, data)
        expected = ((only.decoder(only.encoder.map(noisy)) - x) ** 2)[hit].mean()
    with torch.no_grad():
        assert torch.allclose(run(only.eval(), x)["reconstruction"], expected, rtol=1e-4)
