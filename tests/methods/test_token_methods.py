"""What the newer methods promise beyond the contract."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from selftaught.contracts.method import Data
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.methods.contrastive.distillation.dinov2 import DINOv2
from selftaught.methods.objectives.clusters import sinkhorn
from selftaught.methods.objectives.redundancy import coding_rate
from selftaught.methods.parts.decoders import CrossDecoder
from selftaught.methods.parts.masks import some_of
from selftaught.methods.parts.teacher import Evening
from selftaught.methods.self_prediction.masked.bootleg import spaced
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.methods.making import BATCH, made, small, views
from tests.methods.test_details import run


def test_dinov2s_answers_are_even_and_its_temperature_rises() -> None:
    evening = Evening(50, 0.04, 0.07, 0.3)
    scores = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    answers = evening(scores / 10)
    assert torch.allclose(answers.sum(dim=1), torch.ones(12)) and torch.allclose(
        answers.sum(dim=0), torch.full((4,), 3.0)
    )
    assert float(evening.temperature) == pytest.approx(0.04)
    evening.follow(0.15)
    assert float(evening.temperature) == pytest.approx(0.055)
    assert (evening(scores / 10) != answers).any()
    assert evening(scores[:0]).shape == (0, 4)  # no token is hidden


def test_dinov2s_heads_are_untied_and_rest_at_first() -> None:
    method = made("dinov2", out_dim=24, patch_out_dim=12)
    assert len(method.head.directions) == 24 and len(method.patch_head.directions) == 12
    for progress, rest in ((0.0, True), (0.5, False)):
        method.zero_grad()
        sum(run(method, *views(method)).values()).backward()
        assert method.head.directions.grad is not None and method.patch_head.directions.grad is not None
        method.before_step(progress)
        assert (method.head.directions.grad is None) == (method.patch_head.directions.grad is None) == rest


def test_dinov2s_teacher_sees_what_the_student_does_not() -> None:
    method = made("dinov2", mask_probability=1.0, local_crops=0).eval()
    both = torch.cat(views(method))
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        asked = method.masks.hidden(both.chunk(2), method.tokens)
        hidden = asked.mask
        patches = method.tokens.patchify(both)
        other = method.tokens.unpatchify(torch.where(hidden[..., None], -patches, patches), (32, 32))
        said = [run(method, *x.chunk(2)) for x in (both, other)]
        answers = [method._answers(x, asked)[1] for x in (both, other)]
        seen = [method.tokens.tokens(x, hidden=hidden, hole=method.hole).patches for x in (both, other)]
    assert torch.equal(*seen) and not torch.allclose(*answers, atol=1e-3)
    assert torch.equal(said[0]["koleo"], said[1]["koleo"]) and said[0]["patches"] != said[1]["patches"]
    assert 0.1 < hidden.float().mean() < 0.5 and not torch.equal(*hidden.chunk(2))


def test_dinov2_trains_a_network_with_registers_and_layer_scale_as_the_public_ones() -> None:
    facts = Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.5,) * 3, std=(0.25,) * 3)
    options = {"patch": 8, "depth": 2, "width": 32, "pool": "token"}
    encoder = build_encoder(Part(name="vit_small_patch14_reg4_dinov2", options=options), facts)
    method = DINOv2(encoder, Data(64, (3, 32, 32), (0.5,) * 3, (0.25,) * 3), **small("dinov2"))
    x = views(method)
    sum(run(method, *x).values()).backward()
    assert encoder.tokens(x[0]).prefix.shape[1] == 5
    assert all(p.grad is not None for p in encoder.parameters())


def test_simdinos_rate_is_of_the_mean_of_student_and_teacher_and_goes_with_the_batch() -> None:
    found = {}
    for smooth in (True, False):
        method = made("simdino", smooth=smooth).eval()
        with torch.no_grad():
            for p in method.head.parameters():
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        said, answers = (
            torch.stack([F.normalize(head(method.encoder(view)), dim=1) for view in views(method)[:2]])
            for head in (method.head, method.teacher.layers[1])
        )
        spread = (said + answers) / 2 if smooth else said
        rate = sum(coding_rate(view, 0.05) for view in spread) / 2
        found[smooth] = run(method, *views(method))["coding_rate"]
        assert torch.allclose(found[smooth], -(BATCH + 16) / (BATCH * 16) * rate, atol=1e-5)
    assert found[True] != found[False]


def test_simdino_may_ask_for_hidden_patches_of_a_vision_transformer_alone() -> None:
    method = made("simdino", encoder="test_vit", patch_weight=2.0, mask_probability=1.0)
    terms = run(method, *views(method))
    assert set(terms) == {"distance", "coding_rate", "patches"} and 0 < terms["patches"].item() < 4
    sum(terms.values()).backward()
    assert method.hole.grad is not None and method.hole.grad.any()
    plain = made("simdino", encoder="test_vit")
    assert not hasattr(plain, "hole") and set(run(plain, *views(plain))) == {"distance", "coding_rate"}
    with pytest.raises(UsageError, match="from a vision transformer alone"):
        made("simdino", patch_weight=1.0)


@pytest.mark.parametrize(
    ("depth", "count", "wanted"), [(12, 4, (2, 5, 8, 11)), (4, 9, (0, 1, 2, 3)), (6, 1, (5,)), (5, 2, (1, 4))]
)
def test_bootlegs_layers_lie_at_even_distances_up_to_the_last(depth: int, count: int, wanted: tuple[int, ...]) -> None:
    assert spaced(depth, count) == wanted


@pytest.mark.parametrize(("norm", "axis"), [("layer", 2), ("instance", 1)])
def test_bootleg_predicts_several_layers_of_the_teacher(norm: str, axis: int) -> None:
    method = made("bootleg", layers=2, target_norm=norm).eval()
    (x,) = views(method)
    dim, depth = method.encoder.dim, method.tokens.depth
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        blocks = method._blocks(x)
        target = method._targets(x, blocks)
        outputs = method.tokens.tokens(x, layers=range(depth)).layers
        for place, number in enumerate(spaced(depth, 2)):
            layer = outputs[number][:, -method.tokens.length((32, 32)) :]
            gap = layer - layer.mean(axis, keepdim=True)
            slow = gap / (layer.var(axis, keepdim=True, correction=0) + 1e-5).sqrt()
            found = target[3, 1, :, place * dim : (place + 1) * dim]
            assert torch.allclose(found, slow[3, blocks.targets[3, 1]], atol=1e-4)
    assert target.shape[3] == 2 * dim == method.predictor.predict.out_features
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(0.1)
    assert torch.equal(method._targets(x, blocks), target)  # the teacher's, until it follows


def test_nepa_says_the_next_embedding_having_seen_only_what_came_before() -> None:
    method = made("nepa").eval()
    (x,) = views(method)
    with torch.no_grad():
        said, wanted = method._predict(x)
        patches = method.tokens.patchify(x)
        for place in (0, 5, said.shape[1] - 1):
            changed = patches.clone()
            changed[:, place + 1 :] *= -1
            other, _ = method._predict(method.tokens.unpatchify(changed, (32, 32)))
            assert torch.allclose(other[:, : place + 1], said[:, : place + 1], atol=1e-5)
            assert place + 1 == said.shape[1] or not torch.allclose(other[:, place + 1], said[:, place + 1], atol=1e-3)
        embed = method.encoder.net.patch_embed.proj
        slow = patches[:, 1:] @ embed.weight.flatten(1).T + embed.bias
    assert torch.allclose(wanted, slow, atol=1e-5)
    expected = -torch.nn.functional.cosine_similarity(said, slow, dim=2).mean()
    assert run(method, x)["next_embedding"].item() == pytest.approx(expected.item(), abs=1e-5)


def test_nepas_targets_are_constants() -> None:
    method = made("nepa")
    (x,) = views(method)
    said, wanted = method._predict(x)
    assert said.requires_grad and not wanted.requires_grad


def crossmae() -> tuple[Any, Tensor, Tensor, Tensor]:
    """The method, whose decoder sees all layers, samples (B, C, H, W), and what is kept and hidden of them."""
    method = made("crossmae", decoder_depth=2).eval()
    torch.nn.init.normal_(method.decoder.mix)
    (x,) = views(method)
    with randomness.at(0, 0, slice(0, BATCH)):
        return method, x, *method._masked(x)


def test_crossmae_answers_each_question_by_itself_from_what_was_kept() -> None:
    method, x, keep, hidden = crossmae()
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        asked = some_of(hidden, keep, method.prediction_ratio)
        said = method._predicted(x, keep, asked)
        alone = method._predicted(x, keep, asked[:, 3:4])
        patches = method.tokens.patchify(x)
        other = torch.where(hidden[..., None], -patches, patches)
        same = method._predicted(method.tokens.unpatchify(other, (32, 32)), keep, asked)
        first = keep[:, :1, None].expand(-1, -1, patches.shape[2])
        moved = method.tokens.unpatchify(patches.scatter(1, first, 5.0), (32, 32))
        changed = method._predicted(moved, keep, asked)
    assert torch.allclose(alone, said[:, 3:4], atol=1e-5)
    assert torch.allclose(same, said, atol=1e-5) and not torch.allclose(changed, said, atol=1e-2)


def test_crossmae_asks_for_as_many_hidden_patches_as_it_is_told() -> None:
    _, _, keep, hidden = crossmae()
    most = int(hidden[0].sum())
    for ratio, count in ((0.25, hidden.shape[1] // 4), (0.01, 1), (0.99, most)):
        with randomness.at(0, 0, slice(0, BATCH)):
            asked = some_of(hidden, keep, ratio)
        assert asked.shape == (BATCH, count) and hidden.gather(1, asked).all()
        assert all(len(set(row)) == count for row in asked.tolist())


def test_crossmaes_loss_is_the_mean_error_of_what_it_asks_for() -> None:
    method, x, keep, hidden = crossmae()
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        asked = some_of(hidden, keep, method.prediction_ratio)
        said = method._predicted(x, keep, asked)
    patches = method.tokens.patchify(x)
    errors = []
    for sample, places in enumerate(asked.tolist()):
        for number, place in enumerate(places):
            patch = patches[sample, place]
            errors.append(((patch - patch.mean()) / (patch.var() + 1e-6).sqrt() - said[sample, number]).square().mean())
    assert run(method, x)["reconstruction"].item() == pytest.approx(float(torch.stack(errors).mean()), abs=1e-5)


def test_crossmaes_decoder_begins_with_the_last_layer_and_learns_of_all() -> None:
    method = made("crossmae")
    mix = method.decoder.mix
    assert (mix[:, -1] == 1).all() and not mix[:, :-1].any()
    run(method, *views(method))["reconstruction"].backward()
    assert mix.grad is not None and mix.grad.all()


def test_a_question_looks_at_what_was_seen_as_attention_does() -> None:
    torch.manual_seed(0)
    block = CrossDecoder(8, 4, 12, 1, 3, 1).blocks[0]
    x, seen = torch.randn(2, 5, 12), torch.randn(2, 7, 8)
    with torch.no_grad():
        got, normal = block(x, seen), F.layer_norm
        query = F.linear(normal(x, (12,)), block.query.weight, block.query.bias)
        both = F.linear(normal(seen, (8,)), block.key_value.weight, block.key_value.bias)
        heads = []
        for head in range(3):
            at = slice(4 * head, 4 * head + 4)
            share = (query[..., at] @ both[..., :12][..., at].mT / 2).softmax(dim=2)
            heads.append(share @ both[..., 12:][..., at])
        y = x + block.out(torch.cat(heads, dim=2))
        assert torch.allclose(got, y + block.mlp(normal(y, (12,))), atol=1e-5)


def test_capis_clusters_are_used_alike_at_each_place_by_itself() -> None:
    method = made("capi", clusters=6, sinkhorn_iterations=100, cluster_temperature=0.3).eval()
    (x,) = views(method)
    with torch.no_grad():
        scores = method._scores(x)
        answers = method._answers(scores)
    assert torch.allclose(answers.mean(dim=0), torch.full_like(answers[0], 1 / 6), atol=1e-3)
    assert torch.allclose(answers[:, 3], sinkhorn(scores[:, 3], 0.3, 100), atol=1e-4)
    unit = F.normalize(method.teacher.layers[0].tokens(x).patches, dim=2)
    assert torch.allclose(scores, unit @ method.clusters.weight.T + method.clusters.bias, atol=1e-5)


def test_capis_student_is_asked_for_the_teachers_clusters_of_hidden_places() -> None:
    method = made("capi", clusters=6, prediction_ratio=0.25).eval()
    (x,) = views(method)
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        keep, hidden = method._masked(x)
        asked = some_of(hidden, keep, 0.25)
        scores, said = method._scores(x), method._said(x, keep, asked)
        answers = method._answers(scores)
    losses = [
        -(answers[sample, place] * (said[sample, number] / 0.12).log_softmax(dim=0)).sum()
        for sample, places in enumerate(asked.tolist())
        for number, place in enumerate(places)
    ]
    found = run(method, x)
    assert found["patches"].item() == pytest.approx(float(torch.stack(losses).mean()), abs=1e-4)
    slow = -(answers * (scores / 0.12).log_softmax(dim=2)).sum(dim=2).mean()
    assert found["clusters"].item() == pytest.approx(slow.item(), abs=1e-4)


@pytest.mark.parametrize(("term", "learns"), [("patches", ("encoder", "decoder", "said")), ("clusters", ("clusters",))])
def test_of_capi_each_term_teaches_its_own_part(term: str, learns: tuple[str, ...]) -> None:
    method = made("capi", clusters=6)
    run(method, *views(method))[term].backward()
    moved = {name.partition(".")[0] for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {*learns}
