"""What single methods promise beyond the contract."""

import itertools
import math

import pytest
import torch

from selftaught.system import randomness
from selftaught.system.errors import UsageError
from tests.methods.making import BATCH, made, views


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
    without, prototypes = run(swav, *batch)["swapped"], swav.prototypes.weight.clone()
    for _ in range(2):  # 16 slots, 8 samples a step
        run(swav, *[torch.randn_like(view) for view in batch])
        swav.after_step(0.01)
    with torch.no_grad():  # to be brought to length one again may move them by a rounding, which is the processor's
        swav.prototypes.weight.copy_(prototypes)
    assert swav.queues[0].full
    early = run(swav, *batch)["swapped"]
    swav.seen.fill_(0.5)
    late = run(swav, *batch)["swapped"]
    assert torch.equal(without, early) and not torch.equal(early, late)


def test_swav_bounds_prototypes_and_queue_by_the_data() -> None:
    from selftaught.contracts.method import Data
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
    from selftaught.methods.self_prediction.augmented.rotation import all_turns

    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)
    turned, turns = all_turns(x)
    assert turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(turned[:2], x) and torch.equal(turned[4:6], x.flip(2, 3))
    assert turned[2, 0, 0, 0] == x[0, 0, 0, 3]  # a quarter turn against the clock
    with pytest.raises(UsageError, match="square views, these are 32 x 48; use --size 32"):
        made("rotation", size=(32, 48))


@pytest.mark.parametrize(
    "name",
    [
        "mae",
        "inpainting",
        "denoising",
        "simclr",
        "swav",
        "simmim",
        "maskfeat",
        "data2vec",
        "ijepa",
        "ibot",
        "aim",
        "colorization",
        "split_brain",
        "super_resolution",
        "deblurring",
        "transformation",
        "exemplar",
        "dinov2",
        "simdino",
        "bootleg",
        "nepa",
        "crossmae",
        "capi",
    ],
)
def test_views_need_not_be_square(name: str) -> None:
    method = made(name, size=(32, 48))
    assert all(term.isfinite() for term in run(method, *views(method, size=(32, 48))).values())


def test_inpainting_weighs_the_rim_and_ignores_the_far_side() -> None:
    method = made("inpainting", mask="center")
    hidden = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    hidden[..., 10:20, 10:20] = True
    weights = method._weights(hidden)[0, 0]
    assert method.overlap == 2
    assert weights[15, 15] == 1 and weights[9, 15] == 10 and weights[8, 15] == 10 and weights[7, 15] == 0


def test_denoisings_emphasis_weighs_what_was_destroyed() -> None:
    from selftaught.contracts.method import Data
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


def test_vime_is_asked_for_what_stood_there_and_which_cells_are_false() -> None:
    from selftaught.methods.parts.damage import swapped_cells

    method = made("vime", level=0.4, alpha=3.0).eval()
    x = views(method)[0]
    terms = run(method, x)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        shown, changed = swapped_cells(x, 0.4)
        said = method.decoder(method.encoder.map(shown))
    values, doubts = said[:, :3], said[:, 3:].sigmoid()
    assert terms["values"].item() == pytest.approx(3 * ((values - x) ** 2).mean().item(), rel=1e-4)
    right = torch.where(changed, doubts, 1 - doubts)
    assert terms["mask"].item() == pytest.approx(-right.log().mean().item(), rel=1e-4)


def test_subtabs_subsets_cover_all_columns_and_overlap() -> None:
    from selftaught.methods.contrastive.negatives.subtab import spans

    assert spans(16, 4, 0.75) == [(0, 7), (1, 8), (5, 12), (9, 16)]
    assert spans(16, 4, 0.0) == [(0, 4), (4, 8), (8, 12), (12, 16)]
    for columns in range(2, 40):
        for subsets in range(2, min(columns, 9) + 1):
            found = spans(columns, subsets, 0.5)
            assert set().union(*(range(*span) for span in found)) == set(range(columns)) and len(found) == subsets
            assert all(0 <= start < stop <= columns for start, stop in found)


def test_subtabs_parts_are_zero_outside_of_their_columns_and_have_false_cells_of_their_own() -> None:
    method = made("subtab", level=0.5)
    (x,) = views(method)
    with randomness.at(0, 0, slice(0, BATCH)):
        parts = method._parts(x)
    held = torch.zeros(len(parts), x.shape[-1], dtype=torch.bool)
    for number, ((start, stop), part) in enumerate(zip(method.spans, parts)):
        assert not part[..., :start].any() and not part[..., stop:].any()
        kept = (part == x)[..., start:stop].all(dim=1).float().mean()
        assert 0.45 < kept < 0.65  # an eighth of the donors is the sample itself
        held[number, start:stop] = True
    both = held[0] & held[1]
    assert not torch.equal(parts[0][..., both], parts[1][..., both])


def test_subtab_rebuilds_the_whole_from_each_part_and_compares_all_pairs() -> None:
    method = made("subtab", subsets=3, level=0.0, reconstruction=2.0, distance=3.0)
    (x,) = views(method)
    terms = run(method, x)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        parts = torch.cat(method._parts(x))  # one batch of batch norm: untrained features are nearly alike without
        rebuilt = method.decoder(method.encoder.map(parts)).chunk(3)
        z = torch.nn.functional.normalize(method.projector(method.encoder(parts)), dim=1).chunk(3)
    errors = [((answer - x) ** 2).mean().item() for answer in rebuilt]
    assert terms["reconstruction"].item() == pytest.approx(2 * sum(errors) / 3, rel=1e-4)
    gaps = [((a - b) ** 2).sum(dim=1).mean().item() for a, b in itertools.combinations(z, 2)]
    assert terms["distance"].item() == pytest.approx(3 * sum(gaps) / 3, rel=1e-3) and sum(gaps) > 0.1


def test_subtab_needs_columns_to_part() -> None:
    with pytest.raises(UsageError, match="subtab needs samples of at least 2 columns"):
        made("subtab", encoder="test_resnet", size=(32, 1))


def test_simmims_answer_ignores_what_is_hidden() -> None:
    for encoder in ("test_resnet", "test_vit"):
        simmim = made("simmim", encoder=encoder, size=(32, 48)).eval()
        (x,) = views(simmim, size=(32, 48))
        with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
            predicted, hidden = simmim._predict(x)
            again, _ = simmim._predict(torch.where(hidden, torch.randn_like(x), x))
        assert torch.equal(predicted, again)
        assert abs(hidden.float().mean() - 0.6) < 0.05
    assert made("simmim", size=(224, 224)).cells == (7, 7)  # cells of 32 pixels, as in the paper


def test_maskfeat_asks_for_the_histograms_of_what_is_hidden() -> None:
    from selftaught.methods.parts.hog import histograms

    method = made("maskfeat", encoder="test_vit", size=(32, 32)).eval()
    (x,) = views(method)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        target, predicted, hidden = method._predict(x)
        again = method._predict(torch.where(torch.nn.functional.interpolate(hidden.float(), 32) > 0, -x, x))[1]
    assert torch.equal(target, histograms(x, method.cell)) and predicted.shape == target.shape
    assert torch.equal(predicted, again)
    assert abs(hidden.float().mean() - 0.4) < 0.03


@pytest.mark.parametrize("norm, axis", [("layer", 2), ("instance", 1)])
def test_data2vecs_targets_are_normalised_layers_of_the_teacher_on_the_whole(norm: str, axis: int) -> None:
    method = made("data2vec", target_norm=norm).eval()
    (x,) = views(method)
    target = method._targets(x)
    depth = method.tokens.depth
    outputs = method.tokens.tokens(x, layers=range(depth)).layers
    top = outputs[-len(method.layers) :]
    prefix = top[0].shape[1] - method.tokens.length(x.shape[2:])
    patches = [o[:, prefix:] for o in top]
    centred = [
        (p - p.mean(axis, keepdim=True)) / (p.var(axis, keepdim=True, correction=0) + 1e-5).sqrt() for p in patches
    ]
    slow = sum(centred) / len(top)
    assert torch.allclose(target, slow, atol=1e-5) and not target.requires_grad
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(0.1)
    assert torch.equal(method._targets(x), target)  # the teacher's, until it follows
    method.after_step(0.5)
    assert not torch.equal(method._targets(x), target)


def test_ijepa_predicts_the_teachers_tokens_from_the_context_alone() -> None:
    method = made("ijepa").eval()
    (x,) = views(method)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        blocks = method._blocks(x)
        target = method._targets(x, blocks)
        whole = torch.nn.functional.layer_norm(method.tokens.tokens(x).patches, (method.encoder.dim,))
        assert torch.allclose(target[2, 1], whole[2, blocks.targets[2, 1]], atol=1e-5)
        patches = method.tokens.patchify(x)
        shown = torch.zeros(patches.shape[:2], dtype=torch.bool).scatter_(1, blocks.context, True)
        other = method.tokens.unpatchify(torch.where(shown[..., None], patches, -patches), x.shape[2:])
        seen, same = (method.tokens.tokens(image, keep=blocks.context).patches for image in (x, other))
    assert torch.equal(seen, same)


def test_ibots_centres_follow_the_teacher_and_its_last_layer_rests_at_first() -> None:
    method = made("ibot", local_crops=1, teacher_temperature_end=0.07)
    batch = views(method)
    sum(run(method, *batch).values()).backward()
    method.before_step(0.0)
    assert method.head.directions.grad is None
    both = (method.centring, method.patch_centring)
    expected = 0.1 * torch.stack([centring._newest.mean(dim=0) for centring in both])
    method.after_step(0.6)
    assert torch.allclose(torch.stack([centring.centre for centring in both]), expected, atol=1e-6)
    assert all(float(centring.temperature) == pytest.approx(0.07) for centring in both)
    sum(run(method, *batch).values()).backward()
    method.before_step(0.5)
    assert method.head.directions.grad is not None


def test_aims_answers_come_from_what_went_before() -> None:
    method = made("aim").eval()
    (x,) = views(method)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        _, predicted, asked = method._predict(x)
        patches = method.tokens.patchify(x)
        first = asked.float().argmax(dim=1)  # patch first + 1 is the first that is asked for
        for place in range(patches.shape[1]):
            later = torch.arange(patches.shape[1])[None] > first[:, None] + place
            other = method.tokens.unpatchify(
                torch.where(later[..., None], torch.randn_like(patches), patches), (32, 32)
            )
            again = method._predict(other)[1]
            sure = torch.arange(asked.shape[1])[None] <= first[:, None] + place
            assert torch.allclose(again[sure & asked], predicted[sure & asked], atol=1e-5)
    assert (asked.diff(dim=1).int() >= 0).all() and asked[:, -1].all()  # a prefix, then everything


def test_exemplars_are_spread_over_the_data_and_others_left_out() -> None:
    method = made("exemplar", classes=10)
    assert len(method.classifier.weight) == 10
    chosen = [i for i in range(method.count) if i == 0 or (i - 1) * 10 // method.count != i * 10 // method.count]
    assert len(chosen) == 10 and max(b - a for a, b in itertools.pairwise(chosen)) <= 13
    first, second, _ = views(method)
    outsiders = torch.tensor([i for i in range(method.count) if i not in chosen][:BATCH])
    assert run(method, first, second, outsiders)["cross_entropy"].item() == 0
    mixed = outsiders.clone()
    mixed[3] = chosen[4]
    method.eval()
    one = run(method, first, second, mixed)["cross_entropy"]
    alone = torch.cat([first[3:4], second[3:4]])
    expected = torch.nn.functional.cross_entropy(method.classifier(method.encoder(alone)), torch.tensor([4, 4]))
    assert torch.allclose(one, expected, atol=1e-5)


def test_transformations_have_unit_variance_and_the_answer_undoes_itself() -> None:
    method = made("transformation", colors=0.3)
    with randomness.at(0, 0, slice(0, 4000)):
        draws = randomness.uniform((4000, 12), "transformation")
    corners = method._corners(draws[:, :10]).flatten(1) / method.deviation
    assert torch.allclose(corners.var(dim=0), torch.ones(8), atol=0.06) and corners.mean(dim=0).abs().max() < 0.06
    assert method.predict[-1].out_features == 10 and made("transformation").predict[-1].out_features == 8


def test_the_second_view_is_transformed_or_as_in_the_paper_the_first() -> None:
    first, second = torch.rand(2, 2, 3, 16, 16)
    with randomness.at(0, 0, slice(0, 2)):
        apart, _, _ = made("transformation")._ask(first, second)
        paper = made("transformation", apart=False)
        same, _, _ = paper._ask(first)
        swapped, _, _ = made("transformation")._ask(second, first)
    assert torch.equal(same, swapped) and not torch.equal(apart, same)
    assert len(paper.views) == 1


def test_colorization_weighs_rare_colours_more_and_its_picture_keeps_the_lightness() -> None:
    from selftaught.methods.parts.colour import lab

    method = made("colorization").eval()
    grey = torch.zeros(65, 3, 32, 32) + 0.1 * torch.randn(65, 1, 32, 32)  # one more than are looked at together
    grey[0, 0] += 2.0  # one red image among grey ones
    method.start(grey)
    usual, rare = (method._weights(method._colours(grey[i : i + 1])).mean() for i in (1, 0))
    assert rare > 2 * usual
    shares = method._colours(grey).mean(dim=(0, 2, 3))
    assert (method.rarity * shares).sum().item() == pytest.approx(1, abs=1e-4)  # section 2.2: one on average
    x = grey[:BATCH]
    with torch.no_grad():
        shown = method.picture(x)
        before, after = (method.space.lab(image)[:, 0] for image in (x, shown["shown"]))
    assert torch.allclose(before, after, atol=0.2)
    assert lab((shown["shown"] - method.space.low) / method.space.range)[:, 1:].abs().max() < 0.5
    # The best constant answer costs what chance() says.
    target = method._colours(grey)
    mean = (target * method._weights(target)[:, None]).mean(dim=(0, 2, 3))
    constant = (mean / mean.sum()).clamp(min=1e-9).log().view(1, -1, 1, 1).expand_as(target)
    from selftaught.methods.objectives.prediction import weighted_cross_entropy

    assert weighted_cross_entropy(constant, target, method._weights(target)).item() == pytest.approx(
        method.chance(8), rel=1e-3
    )


def test_split_brains_halves_hold_nothing_of_each_other() -> None:
    method = made("split_brain").eval()
    x = 0.3 * torch.randn(BATCH, 3, 32, 32)
    values = method.space.lab(x)
    other = torch.cat([values[:, :1], values[:, 1:].flip(0)], dim=1)
    grey, coloured = method._halves(values)
    assert torch.equal(grey, method._halves(other)[0])
    darker = torch.cat([values[:, :1] * 0.5, values[:, 1:]], dim=1)
    assert torch.equal(coloured, method._halves(darker)[1])
    colours, lightness = method._targets(values)
    for target in (colours, lightness):
        assert torch.allclose(target.sum(dim=1), torch.ones(BATCH, *method.space.size), atol=1e-5)


def test_super_resolution_and_deblurring_show_less_than_there_is() -> None:
    for name in ("super_resolution", "deblurring"):
        method = made(name).eval()
        (x,) = views(method)
        with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
            shown = method.picture(x)["shown"]
        assert shown.shape == x.shape and 0.02 < (shown.std() / x.std()) < 0.9
        assert (shown.mean(dim=(2, 3)) - x.mean(dim=(2, 3))).abs().max() < 0.3


@pytest.mark.parametrize("name", ["colorization", "split_brain"])
def test_questions_about_colours_are_for_colour_images(name: str, tmp_path) -> None:
    import selftaught

    with pytest.raises(UsageError, match=f"{name} needs colour images; these have 1 channel"):
        selftaught.pretrain("sklearn:digits", method=name, steps=1, out=str(tmp_path / "a"))
