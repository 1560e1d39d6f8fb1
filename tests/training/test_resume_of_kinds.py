"""Exact resume of every method on every kind of data, by the order, views, optimiser and checkpoints of a run.

What a run does besides training, and a real kill, is in test_resume.py, on images.
"""

from pathlib import Path

import pytest
import torch

from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.training.beginning import begun
from selftaught.training.job import Job, prepare
from tests.jobs import plan_of
from tests.methods.making import PAIRS

STEPS, CUT = 5, 3
FEW = {"steps": STEPS, "limit": 16}  # in batches of 8: two steps an epoch


def state(job: Job) -> dict[str, torch.Tensor]:
    """All that training changes."""
    return {**job.method.state_dict(), **checkpoint.optimizer_tensors(job.optimizer)}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in PAIRS if kind != "images"])
def test_a_cut_job_goes_on_bit_for_bit(name: str, kind: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    plan, samples = plan_of(name, kind, tmp_path, **FEW, out=str(run.folder))
    whole = prepare(plan, samples, None)
    start, saving = begun(whole, run)
    whole.fit(steps=STEPS, until=CUT)
    with saving:
        saving.begin(CUT)
        saving.no_more()
    whole.fit(steps=STEPS, start=CUT)
    plan, samples = plan_of(name, kind, tmp_path, **FEW, out=str(run.folder), resume=True)
    again = prepare(plan, samples, None)
    assert (start, begun(again, run)[0]) == (0, CUT)
    again.fit(steps=STEPS, start=CUT)
    expected, found = state(whole), state(again)
    assert expected.keys() == found.keys()
    assert not [key for key, value in expected.items() if not torch.equal(value, found[key])]
