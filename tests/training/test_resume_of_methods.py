"""Exact resume of every method on every kind of data, by the order, views, optimiser and checkpoints of a run.

What a run does besides training, and a real kill, is in test_resume.py, with some of the methods.
"""

import itertools
from pathlib import Path

import pytest
import torch

from selftaught.contracts import modality
from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.training.beginning import begun
from selftaught.training.job import Job, prepare
from tests.jobs import plan_of
from tests.methods.making import PAIRS

STEPS = 5
FEW = {"steps": STEPS, "limit": 16}  # in batches of 8: two steps an epoch, so each goes on within one or begins one
COMBINATIONS = list(itertools.product((2, 3, 4), ("32-true", "bf16-mixed"), ("contiguous", "channels_last")))


def state(job: Job) -> dict[str, torch.Tensor]:
    """All that training changes."""
    return {**job.method.state_dict(), **checkpoint.optimizer_tensors(job.optimizer)}


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_cut_job_goes_on_bit_for_bit(name: str, kind: str, tmp_path: Path) -> None:
    cut, precision, layout = COMBINATIONS[PAIRS.index((name, kind)) % len(COMBINATIONS)]
    if not modality.named(kind).SPATIAL:
        layout = "contiguous"
    run = RunFolder(tmp_path / "run")
    about = {**FEW, "out": str(run.folder), "precision": precision, "layout": layout}
    plan, samples = plan_of(name, kind, tmp_path, **about)
    whole = prepare(plan, samples, None)
    start, saving = begun(whole, run)
    whole.fit(steps=STEPS, until=cut)
    with saving:
        saving.begin(cut)
        saving.no_more()
    whole.fit(steps=STEPS, start=cut)
    plan, samples = plan_of(name, kind, tmp_path, **about, resume=True)
    again = prepare(plan, samples, None)
    assert (start, begun(again, run)[0]) == (0, cut)
    again.fit(steps=STEPS, start=cut)
    expected, found = state(whole), state(again)
    assert expected.keys() == found.keys()
    assert not [key for key, value in expected.items() if not torch.equal(value, found[key])]
