"""What single contrastive methods promise beyond the contract: schedules, queues, banks, groups and clusters."""

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from selftaught.contracts.method import Method
from selftaught.methods.contrastive.negatives.moco import MoCo
from selftaught.methods.objectives import similarity
from selftaught.methods.objectives.similarity import cosines
from selftaught.system import components, distributed, randomness
from selftaught.system.errors import UsageError
from selftaught.training.optimizers import build_optimizer
from tests.methods.making import BATCH, COUNT, KINDS, made, views
from tests.methods.objectives.test_contrastive import slow_info_nce


def run(method: Method, step: int = 0) -> dict[str, torch.Tensor]:
    with randomness.at(0, step, slice(0, BATCH)):
        return method(*views(method, step))


def test_mocos_keys_are_those_of_shuffled_groups_and_go_into_the_queue() -> None:
    method = made("moco", group=4)
    seen: list[torch.Tensor] = []
    method.teacher.layers[0].register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    before = method.queue.features.clone()
    run(method)
    second = views(method)[1]
    assert [len(x) for x in seen] == [4, 4]
    places = [(second == row).flatten(1).all(dim=1).nonzero().item() for row in torch.cat(seen)]
    assert sorted(places) == list(range(BATCH)) and places != list(range(BATCH))
    keys = method._newest
    assert torch.equal(method.queue.features, before)  # a batch's keys are not among its own negatives
    method.after_step(0.1)
    assert torch.equal(method.queue.features[:BATCH], keys)
    expected = torch.cat([nn.functional.normalize(method.teacher(x), dim=1) for x in tuple(seen)])
    assert not torch.allclose(keys, expected)  # they are back in the order of the batch
    assert made("moco", encoder="test_vit").grouped is False


@pytest.mark.parametrize(("world", "rows", "group"), [(4, 16, 10), (4, 16, 22), (3, 5, 2), (5, 1, 2), (2, 3, 2)])
def test_the_group_that_moco_advises_is_one_that_processes_can_share(
    world: int, rows: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    x, bounds = torch.zeros(rows, 1), TypeAdapter(components.options(MoCo)["group"].annotation)
    with pytest.raises(UsageError, match=f"moco's batch of {world * rows} makes .* use --method.group") as refused:
        made("moco", group=group)._in_groups(nn.Identity(), x)
    advised = bounds.validate_python(int(str(refused.value).split("--method.group ")[-1]))
    assert made("moco", group=advised)._in_groups(nn.Identity(), x).shape == x.shape


@pytest.mark.parametrize(
    ("count", "group", "expected"),
    [(100, 8, {8, 9}), (7, 2, {2, 3}), (392, 16, {16, 17}), (3, 2, {3}), (64, 16, {16}), (8, 64, {8})],
)
def test_mocos_groups_are_of_two_samples_at_least_and_the_same_by_any_processes(
    count: int, group: int, expected: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sizes(world: int) -> list[int]:
        monkeypatch.setattr(distributed, "world_size", lambda: world)
        method, rows, seen = made("moco", group=group), x[: count // world], list[int]()
        kept = method._in_groups(lambda part: seen.append(len(part)) or part, rows)
        assert torch.equal(kept, rows)
        return seen

    x = torch.arange(float(count))[:, None]
    alone = sizes(1)
    assert sum(alone) == count and set(alone) == expected
    if count in (64, 100, 392):  # else two cannot share the groups
        assert sizes(2) * 2 == alone


def test_moco_learns_of_a_batch_that_its_groups_do_not_divide() -> None:
    method = made("moco", kind="tables", group=8)
    with randomness.at(0, 0, slice(0, 100)):
        loss = sum(method(*(torch.randn(100, *KINDS["tables"].preparation.shape) for _ in method.views)).values())
    assert loss.isfinite()


def test_moco_v3_keeps_the_patch_projection_of_a_vit() -> None:
    method = made("mocov3", encoder="test_vit")
    assert not any(p.requires_grad for p in method.encoder.net.patch_embed.parameters())
    free = made("mocov3", encoder="test_vit", freeze_patches=False)
    assert all(p.requires_grad for p in free.encoder.net.patch_embed.parameters())
    assert all(p.requires_grad for p in made("mocov3").encoder.parameters())


def test_banks_move_towards_new_features_at_their_momentum() -> None:
    for name in ("instance_discrimination", "pirl"):
        method = made(name)
        before = method.bank.features.clone()
        run(method)
        index, z = method._newest
        method.after_step(0.1)
        expected = nn.functional.normalize(0.5 * before[index] + 0.5 * z, dim=1)
        assert torch.allclose(method.bank.features[index], expected, atol=1e-6)
        others = torch.ones(COUNT, dtype=torch.bool).index_fill(0, index, False)
        assert torch.equal(method.bank.features[others], before[others])


def test_the_constant_of_instance_discrimination_makes_probabilities_sum_to_one_on_average() -> None:
    method = made("instance_discrimination")
    with torch.no_grad():
        z = method.projector(method.encoder(torch.randn(COUNT, 3, 32, 32)))
        scores = cosines(z, method.bank.features) / method.temperature - method.constant
    assert scores.exp().sum(dim=1).mean().item() == pytest.approx(1, rel=0.1)


def test_the_constant_is_measured_without_all_cosines_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 256 samples with a bank of millions these would be several times as large as the bank."""
    method, everything = made("instance_discrimination", starts=False).eval(), torch.randn(40, 3, 32, 32)
    tiles, whole = [], similarity._logits
    monkeypatch.setattr(similarity, "_logits", lambda *given: tiles.append(whole(*given).shape) or whole(*given))
    monkeypatch.setattr(similarity, "CELLS", {"cpu": 1024})
    with torch.autocast("cpu", torch.bfloat16):
        method.start(everything)
        z = method.projector(method.encoder(everything))
    assert len(tiles) == COUNT // 8 and all(rows * columns <= 1024 for rows, columns in tiles)
    scores = cosines(z, method.bank.features) / method.temperature
    expected = scores.logsumexp(dim=1).exp().mean().log().item()
    assert method.constant.item() == pytest.approx(expected, abs=1e-5)


def test_nnclr_answers_for_its_nearest_neighbour() -> None:
    method = made("nnclr").eval()
    with torch.no_grad():
        z = nn.functional.normalize(method.projector(method.encoder(views(method)[0])), dim=1)
        method.queue.features[:BATCH] = z.roll(1, 0)  # every sample has itself in the queue, elsewhere
        actual = run(method)["info_nce"]
        both = method.projector(method.encoder(torch.cat(views(method))))
        a, b = method.predictor(both).chunk(2)
        units = nn.functional.normalize(both, dim=1)
        near_a, near_b = (
            method.queue.features[(unit @ method.queue.features.T).argmax(dim=1)] for unit in units.chunk(2)
        )
        expected = (slow_info_nce(near_a, b, method.temperature) + slow_info_nce(near_b, a, method.temperature)) / 2
    assert torch.allclose(near_a, z, atol=1e-6) and not torch.allclose(near_b, z, atol=1e-2)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


def test_simsiams_predictor_keeps_its_learning_rate() -> None:
    method = made("simsiam")
    groups = build_optimizer(method, method.preset, 256).param_groups
    fixed = [name for group in groups if group["fixed"] for name in group["names"]]
    assert fixed and all(name.startswith("predictor.") for name in fixed)


def test_simsiams_and_byols_targets_have_no_gradient() -> None:
    for name in ("simsiam", "byol"):
        method = made(name)
        sum(run(method).values()).backward()
        assert all(p.grad is not None for p in method.predictor.parameters())
        targets = [*method.teacher.parameters()] if name == "byol" else []  # simsiam's are its own, detached
        assert all(p.grad is None for p in targets) and hasattr(method, "teacher") == bool(targets)


def test_simsiam_learns_as_if_its_targets_were_given() -> None:
    method = made("simsiam")
    with torch.no_grad():
        targets = method.projector(method.encoder(torch.cat(views(method)))).chunk(2)
    sum(run(method).values()).backward()
    actual = [p.grad.clone() for p in method.projector.parameters()]
    method.zero_grad()
    said = method.predictor(method.projector(method.encoder(torch.cat(views(method))))).chunk(2)
    cosines = [nn.functional.cosine_similarity(said[i], targets[1 - i]).mean() for i in range(2)]
    (-sum(cosines) / 2).backward()
    for ours, expected in zip(actual, method.projector.parameters(), strict=True):
        torch.testing.assert_close(ours, expected.grad, rtol=1e-3, atol=1e-6)


def test_dinos_last_layer_rests_its_temperature_rises_and_its_centre_follows() -> None:
    method = made("dino")
    sum(run(method).values()).backward()
    method.before_step(0.0)
    assert method.head.directions.grad is None
    assert float(method.centring.temperature) == pytest.approx(0.04)
    mean = method.centring._newest.mean(dim=0)
    method.after_step(0.15)
    assert float(method.centring.temperature) == pytest.approx(0.055)
    assert torch.allclose(method.centring.centre, 0.1 * mean, atol=1e-6)
    sum(run(method).values()).backward()
    method.before_step(0.5)
    assert method.head.directions.grad is not None


def test_msns_anchor_sees_only_some_patches() -> None:
    method = made("msn", mask_ratio=0.5)
    kept: list[int] = []
    tokens = method.encoder.tokens
    method.encoder.tokens = lambda x, keep=None: (
        kept.append(0 if keep is None else keep.shape[1]) or tokens(x, keep=keep)
    )
    run(method)
    assert kept[0] == method.encoder.length((32, 32)) / 2 and not any(kept[1:])  # small crops are seen whole


def test_msns_teacher_evens_out_its_answers_over_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from selftaught.methods.contrastive.distillation import msn

    answers: list[torch.Tensor] = []
    distilled = msn.distilled
    monkeypatch.setattr(msn, "distilled", lambda target, *rest: answers.append(target) or distilled(target, *rest))
    for iterations in (0, 100):
        method = made("msn", sinkhorn_iterations=iterations)
        run(method)
    uneven, even = answers[0], answers[-1]
    share = len(even) / even.shape[1]  # of every prototype
    assert torch.allclose(even.sum(dim=1), torch.ones(len(even)), atol=1e-4)
    assert (even.sum(dim=0) - share).abs().max() < 0.1 * (uneven.sum(dim=0) - share).abs().max()
    assert torch.allclose(uneven.sum(dim=1), torch.ones(len(uneven)), atol=1e-4)


def test_deepcluster_sorts_when_every_sample_was_seen() -> None:
    method = made("deepcluster", heads=3)
    steps = COUNT // BATCH
    assert (method.assigned == -1).all()
    for step in range(steps):
        rows = torch.arange(BATCH) + BATCH * step
        batch = [rows if view.dtype == torch.int64 else view for view in views(method, step)]
        with randomness.at(0, step, slice(0, BATCH)):
            method(*batch)
        assert int(method.rounds) == 0
        method.after_step(step / steps)
    assert int(method.rounds) == 1 and int(method.seen) == 0
    assert (method.assigned >= 0).all()
    for head, assigned in enumerate(method.assigned):
        bank = method.banks[head % 2].features
        assert torch.equal(assigned, (bank @ method.centres[head].T).argmax(dim=1))


def test_wmse_refuses_what_cannot_be_whitened() -> None:
    with pytest.raises(UsageError, match="at least twice the dim of 64"):
        made("wmse", dim=64, group=100)
    with pytest.raises(UsageError, match="use a larger --batch-size"):
        run(made("wmse", dim=16, group=32))
    assert run(made("wmse", dim=BATCH, group=2 * BATCH))["cosine"].isfinite()
    # One direction less than there are samples is left without their mean.
    with pytest.raises(
        UsageError, match=r"cannot whiten 8 features of 8 samples; use .*, or --method\.epsilon 0\.0001$"
    ):
        run(made("wmse", dim=BATCH, group=2 * BATCH, epsilon=0.0))
    assert run(made("wmse", dim=BATCH - 1, group=2 * BATCH, epsilon=0.0))["cosine"].isfinite()


def test_a_look_at_few_samples_is_no_batch_that_wmse_refuses() -> None:
    method = made("wmse", dim=16, group=32)
    with pytest.raises(UsageError, match="cannot whiten 16 features of 15 samples"):
        method.refuse_batch(15)
    method.refuse_batch(16)
    assert run(method.eval())["cosine"].isfinite()  # of 8 samples


def test_views_are_numbered_among_those_of_their_name() -> None:
    method = made("dino")
    shown = list(method.picture(*views(method)))
    assert shown == ["global 1", "global 2", "local 1", "local 2"]
    assert list(made("simclr").picture(*views(made("simclr")))) == ["strong 1", "strong 2"]


def test_more_views_make_mmcrs_centres() -> None:
    method = made("mmcr", strong_views=4, lambd=0.1)
    assert method.views == ("strong",) * 4
    assert set(run(method)) == {"centres", "manifolds"}


def test_emp_ssls_patches_agree_with_their_mean_and_each_has_a_rate_of_its_own() -> None:
    method = made("emp_ssl", patches=3)  # batch norm of the batch: untrained features are nearly alike without
    assert method.views == ("strong",) * 3
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        terms = method(*views(method))
        seen = method.projector(method.encoder(torch.cat(views(method))))
        z = nn.functional.normalize(seen, dim=1).unflatten(0, (3, -1))
        alike = method(*[views(method)[0]] * 3)
    cosines = nn.functional.cosine_similarity(z, z.mean(dim=0, keepdim=True), dim=2)
    assert terms["agreement"].item() == pytest.approx(200 * (1 - cosines.mean().item()), rel=1e-3)
    rates = [torch.logdet(torch.eye(16) + 16 / (BATCH * 0.2) * patch.T @ patch) / 2 for patch in z]
    assert terms["rate"].item() == pytest.approx(-sum(rates).item() / 3, rel=1e-4)
    assert alike["agreement"].item() == pytest.approx(0, abs=1e-3)


def test_frossls_features_or_samples_are_normalised() -> None:
    features, samples = made("frossl", strong_views=3), made("frossl", normalise="samples")
    assert features.views == ("strong",) * 3
    z = 5 * torch.randn(2, BATCH, 16) + 2
    by_feature, by_sample = features._normalised(z), samples._normalised(z)
    assert torch.allclose(by_feature.mean(dim=1), torch.zeros(2, 16), atol=1e-5)
    assert torch.allclose(by_feature.std(dim=1, correction=0), torch.ones(2, 16), atol=1e-4)
    assert torch.allclose(by_sample.norm(dim=2), torch.full((2, BATCH), 4.0), atol=1e-4)
    assert features._normalised(torch.ones(2, BATCH, 16)).isfinite().all(), "features that have died"


def test_visreg_predicts_the_mean_of_the_global_views_and_weighs_its_terms() -> None:
    plain = made("visreg", global_crops=2, local_crops=1).eval()
    heavy = made("visreg", global_crops=2, local_crops=1, scale=8.0, shape=3.0, center=5.0).eval()
    assert plain.views == ("global", "global", "local") and plain.weights["scale"] == 4
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        one, other = plain(*views(plain)), heavy(*views(heavy))
        z = torch.stack([plain.projector(plain.encoder(x)) for x in views(plain)])
    centre = (z[0] + z[1]) / 2
    assert one["prediction"].item() == pytest.approx(0.4 * (z - centre).square().mean().item(), rel=1e-3)
    assert one["center"].item() == pytest.approx(0.6 * z.mean(dim=1).square().mean().item(), rel=1e-3)
    ratios = {name: (other[name] / one[name]).item() for name in one}
    assert ratios == pytest.approx({"prediction": 1, "scale": 2, "shape": 3, "center": 5}, rel=1e-4)


@pytest.mark.parametrize(("name", "term"), [("lejepa", "sigreg"), ("visreg", "shape")])
def test_directions_are_drawn_anew_every_step(name: str, term: str) -> None:
    method = made(name).eval()
    with torch.no_grad():
        first = []
        for step in (0, 0, 1):
            with randomness.at(0, step, slice(0, BATCH)):
                first.append(method(*views(method))[term])
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


def test_deepclusters_centres_start_from_samples_that_were_seen() -> None:
    method = made("deepcluster")
    count, dim = method.banks[0].features.shape
    x = nn.functional.normalize(torch.randn(count, dim), dim=1)
    x[: count // 2] = 0  # never seen
    assigned = method._cluster(x, 0)
    assert (assigned[: count // 2] == -1).all() and (assigned[count // 2 :] >= 0).all()
    assert torch.allclose(method.centres[0].norm(dim=1), torch.ones(method.centres.shape[1]), atol=1e-5)


@pytest.mark.parametrize("name", ["deepcluster", "instance_discrimination"])
def test_a_start_never_leaves_a_sample_alone(name: str) -> None:
    """Batch norm over one sample is refused by torch."""
    method = made(name).train()
    shown: list[int] = []
    method.encoder.register_forward_hook(lambda encoder, inputs, features: shown.append(len(inputs[0])))
    method.start(torch.randn(257, 3, 32, 32))
    assert sum(shown) == 257 and min(shown) > 1


@pytest.mark.parametrize(
    "asked", [("feature",), ("map",), ("relations",), ("feature", "relations"), ("map", "feature")]
)
def test_of_distill_all_that_learns_has_a_gradient_whatever_is_left_out(asked: tuple[str, ...]) -> None:
    """Several processes wait for the gradient of each weight that is said to learn."""
    left_out = {name: 0.0 for name in ("feature", "map", "relations") if name not in asked}
    whole, method = made("distill"), made("distill", **left_out)
    assert whole.state_dict().keys() == method.state_dict().keys()
    assert all(map(torch.equal, whole.parameters(), method.parameters()))
    terms = run(method)
    assert set(terms) == set(asked)
    sum(terms.values()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in method.parameters())
    assert all(p.grad is not None for p in method.encoder.parameters())


def test_distill_needs_something_to_learn() -> None:
    with pytest.raises(UsageError, match=r"distill has nothing to learn: give --method\.feature, map or relations a w"):
        made("distill", feature=0.0, map=0.0, relations=0.0)


def test_distills_cosines_are_exact_in_half_precision() -> None:
    """Divided by a temperature, what bfloat16 leaves out of them would be as large as what is to be learnt."""
    method = made("distill")
    z, wanted = (nn.functional.normalize(torch.randn(BATCH, method.queue.features.shape[1]), dim=1) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        rough = method._alike(z, wanted)
    assert rough.dtype == torch.float32 and (rough - method._alike(z, wanted)).abs().max() < 1e-6
