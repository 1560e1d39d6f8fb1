"""A method and its helper on one encoder: `--also rotation:0.4`."""

from pathlib import Path

import pytest
import torch

import selftaught
from selftaught.contracts.method import Data
from selftaught.methods.together import Together
from selftaught.run import checkpoint
from selftaught.run.recipes import Pretrain
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from selftaught.training.optimizers import build_optimizer
from tests.methods.making import BATCH, COUNT, made, views

SHAPE = Data(COUNT, (3, 32, 32), (0.5,) * 3, (0.25,) * 3)


def test_terms_are_those_of_both_and_the_helpers_are_weighed() -> None:
    main, helper = made("simclr"), made("rotation")
    helper.encoder = main.encoder
    both = Together(main, helper, SHAPE, weight=0.4)
    assert both.views == ("strong", "strong", "light")
    batch = views(both)
    both.eval()
    with torch.no_grad(), randomness.at(0, 0, slice(0, BATCH)):
        terms = both(*batch)
        alone, aside = main(*batch[:2]), helper(batch[2])
    assert list(terms) == ["nt_xent", "also cross_entropy"]
    assert torch.equal(terms["nt_xent"], alone["nt_xent"])
    assert torch.allclose(terms["also cross_entropy"], 0.4 * aside["cross_entropy"])
    assert both.chance(BATCH) == pytest.approx(main.chance(BATCH) + 0.4 * helper.chance(BATCH))


@pytest.mark.parametrize(("main", "helper", "starts"), [("simclr", "rotation", False), ("byol", "colorization", True)])
def test_both_see_the_data_first_where_one_of_them_wants_to(main: str, helper: str, starts: bool) -> None:
    both = Together(made(main), made(helper), SHAPE, weight=0.4)
    assert both.starts == starts and both.main.starts is False
    if starts:
        before = both.helper.floor.clone()
        both.start(torch.zeros(4, 3, 32, 32))
        assert not torch.equal(both.helper.floor, before)


def test_a_part_keeps_its_fixed_rate_and_the_encoder_is_saved_once() -> None:
    main, helper = made("simsiam"), made("rotation")
    helper.encoder = main.encoder
    both = Together(main, helper, SHAPE, weight=1.0)
    optimizer = build_optimizer(both, both.preset, 256)
    fixed = [name for group in optimizer.param_groups if group["fixed"] for name in group["names"]]
    assert fixed and all(name.startswith("main.predictor") for name in fixed)
    names = list(checkpoint.model_tensors(both))
    assert any(name.startswith("encoder.") for name in names)
    assert not any(".encoder." in name for name in names)


def test_a_run_with_a_helper(photos: Path, tmp_path: Path) -> None:
    how = {"encoder": "test_resnet", "steps": 2, "batch_size": 8, "precision": "32-true", "layout": "contiguous"}
    run = selftaught.pretrain(str(photos), method="byol", also="rotation:0.4", out=str(tmp_path / "run"), **how)
    assert set(run.status["final_terms"]) == {"cosine", "also cross_entropy"}
    assert str(run.recipe.also) == "rotation:0.4"
    assert (run.folder / "pictures.png").exists()


@pytest.mark.parametrize(("also", "said"), [("rotation:much", "looks like rotation:0.4"), ("rotatoin", "rotation")])
def test_a_bad_helper_is_refused_in_one_line(also: str, said: str, photos: Path) -> None:
    with pytest.raises(UsageError, match=said):
        selftaught.pretrain(str(photos), method="byol", also=also, encoder="test_resnet")


def test_a_helper_of_tokens_asks_for_an_encoder_of_tokens(photos: Path) -> None:
    with pytest.raises(UsageError, match="mae needs an encoder that works on tokens"):
        selftaught.pretrain(str(photos), method="simclr", also="mae", encoder="test_resnet")
    assert Pretrain.parse({"data": "x", "also": "mae"}).also.weight == 1
