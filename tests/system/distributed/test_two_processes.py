"""Two processes with half a batch each do what one does with the whole: losses, gradients and all state, in float64."""

import fcntl
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.children import beside, exit_codes
from tests.methods.making import PAIRS
from tests.system.distributed.steps import NORMS, by_two, clustered, normalised, steps


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a pair of gloo processes found, a file for each method; one pair serves all test workers."""
    worker = tmp_path_factory.getbasetemp()
    folder = (worker.parent if "PYTEST_XDIST_WORKER" in os.environ else worker) / "pair"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            folder.mkdir()
            assert exit_codes(beside(2, partial(by_two, folder))) == [0, 0]
            (folder / "done").touch()
    return folder


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_two_processes_equal_one(name: str, kind: str, pair: Path) -> None:
    one = steps(name, kind)
    for rank in range(2):
        two = load_file(pair / f"{name}-{kind}-{rank}.safetensors")
        assert two.keys() == one.keys()
        for key, value in one.items():
            told = f"{key} of process {rank}"
            torch.testing.assert_close(two[key], value, rtol=1e-9, atol=1e-9, msg=lambda text, told=told: told + text)


@pytest.mark.parametrize("rank", [0, 1])
def test_k_means_by_two_processes_has_the_very_centres_of_one(rank: int, pair: Path) -> None:
    two = load_file(pair / f"k-means-{rank}.safetensors")
    assert all(two[key].equal(value) for key, value in clustered().items())


@pytest.mark.parametrize("case", NORMS)
def test_batch_norms_of_unequal_shares_are_those_of_all_rows(case: str, pair: Path) -> None:
    one = {key: value for key, value in normalised(slice(None)).items() if key.startswith(f"{case}: ")}
    two = [load_file(pair / f"norms-{rank}.safetensors") for rank in range(2)]
    assert len(one) >= 2
    for key, value in one.items():
        way, found = key.split(": ")[1], [of_one[key] for of_one in two]
        if way == "all":
            assert found[0].equal(found[1])
        got = torch.cat(found) if way == "rows" else found[0] + found[1] if way == "sum" else found[0]
        loose = {"rtol": 0.02, "atol": 0.02} if value.dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 2e-5}
        exact = {"rtol": 1e-12, "atol": 1e-12} if value.dtype == torch.float64 else loose
        torch.testing.assert_close(got, value, **exact, msg=lambda text, key=key: f"{key}: {text}")
