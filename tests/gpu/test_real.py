"""What a stand-in cannot tell: missing kernels, streams, and what torch itself says of waits (make test-gpu)."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import selftaught
from selftaught.training.batches import Batches
from selftaught.training.job import prepare
from tests.gpu import trying
from tests.jobs import plan_of
from tests.methods.making import PAIRS
from tests.test_golden import data

MISSING = "no CUDA device, or torch was built without CUDA: these run on a machine with a GPU"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason=MISSING)]
NEAR = 1e-3  # of losses in float32, whose sums a GPU takes in another order


def losses(plan: Any, samples: Any, steps: int) -> list[float]:
    job, found = prepare(plan, samples, None), []
    if job.method.starts:
        job.method.start(trying._everything(job))
    job.fit(steps=steps, watch=lambda step, terms: found.append(sum(term.item() for term in terms.values())))
    return found


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_it_learns_on_the_card_what_it_does_on_the_cpu(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, samples = plan_of(name, kind, tmp_path)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = trying.tried(prepare(plan, samples, None))
    expected = trying.tried(prepare(plan.model_copy(update={"device": "cpu"}), samples, None))
    for ours, theirs in zip(found.losses, expected.losses, strict=True):
        assert ours == pytest.approx(theirs, rel=NEAR, abs=NEAR)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_torch_counts_no_wait_but_the_guards(name: str, kind: str, tmp_path: Path) -> None:
    plan, samples = plan_of(name, kind, tmp_path)
    job = prepare(plan, samples, None)
    if job.method.starts:
        job.method.start(trying._everything(job))
    job.fit(steps=2, until=1)  # tables that are kept for a device are made
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            views = job.batches(1)
            in_views = len(said)
            replace(job, batches=trying.Given(views, job.batches.device)).fit(steps=2, start=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert in_views == 0
    assert [Path(one.filename).name for one in said] == ["guards.py"]


def test_batches_made_ahead_on_another_stream_are_the_same(tmp_path: Path) -> None:
    plan, samples = plan_of("simclr", "images", tmp_path, deterministic=True)
    together = losses(plan, samples, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "of_run", trying.Given.of_run)
        assert losses(plan, samples, 20) == together


def test_a_run_that_is_resumed_repeats_every_bit_where_it_is_to(tmp_path: Path) -> None:
    how: dict[str, Any] = {"method": "simclr", "encoder": "test_resnet", "batch_size": 16, "steps": 8, "map": 0}
    how |= {"precision": "32-true", "layout": "contiguous", "deterministic": True, "log_every": 1}
    file = data(tmp_path, "images", 0)
    whole = selftaught.pretrain(file, out=tmp_path / "whole", **how)
    cut = selftaught.pretrain(file, out=tmp_path / "cut", checkpoint_every="4", **how)
    last = cut.folder / "checkpoints" / "last"
    last.write_text("step_0000004\n")
    again = selftaught.pretrain(file, out=tmp_path / "cut", resume=True)
    assert [line["loss"] for line in again.metrics()] == [line["loss"] for line in whole.metrics()]
