"""Double precision from end to end: whatever looks at the network gives it what it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import selftaught
from tests.teachers import teacher_for


@pytest.mark.parametrize(
    ("method", "encoder"),
    [("deepcluster", "test_resnet"), ("colorization", "test_resnet"), ("simmim", "test_resnet"), ("mae", "test_vit")],
)
def test_a_run_in_double_precision(method: str, encoder: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    told = {"encoder": encoder, "precision": "64-true", "layout": "contiguous", "batch_size": 8, "steps": 3}
    run = selftaught.pretrain(tmp_path / "x.npy", method=method, out=tmp_path / "run", map=16, **told)
    assert run.status["state"] == "done" and (run.folder / "pictures.png").exists()
    assert next(run.encoder().parameters()).dtype == torch.float32


def test_a_teacher_of_a_run_in_double_precision_teaches_the_next(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8))
    told = {"method": "distill", "encoder": "test_resnet", "layout": "contiguous", "batch_size": 8, "steps": 1}
    for precision in ("64-true", "32-true"):
        how = {**told, "precision": precision, "map": 0, **teacher_for("distill", tmp_path / "teacher")}
        run = selftaught.pretrain(tmp_path / "x.npy", out=tmp_path / precision, **how)
        assert run.status["state"] == "done"
