"""Several processes of the real command: what one makes, and nobody left behind when one of them ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import selftaught
from selftaught.run import checkpoint
from selftaught.system.errors import UsageError
from selftaught.system.places import Place, first_host, placed
from tests.distributed.runs import ROOT, SAME, apart, data, settings, start, train

TOLD = 1e-5  # what is promised of losses, relative to those of one process
# Batch norm of all samples, in groups, and none; negatives, a queue, masks drawn by row. bench/processes.py has all.
METHODS = ["simclr", "moco", "mae"]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where two processes, started as by torchrun, have trained each method in `two`, and one in `one`."""
    folder = tmp_path_factory.mktemp("pair")
    data(folder)
    running = start(
        2, [str(folder), str(folder / "two"), *METHODS], free_port(), SELFTAUGHT_CACHE=str(folder / "cache")
    )
    train(folder, folder / "one", METHODS)
    assert [one.wait() for one in running] == [0, 0]
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_have_the_losses_of_one(name: str, pair: Path) -> None:
    assert apart(name, pair / "one", pair / "two") < TOLD


def test_what_two_processes_write_is_one_run(pair: Path) -> None:
    runs = [selftaught.Run.open(pair / which / "simclr") for which in ("one", "two")]
    assert [path.name for path in sorted(runs[0].folder.iterdir())] == [
        p.name for p in sorted(runs[1].folder.iterdir())
    ]
    assert [len(run.metrics()) for run in runs] == [20, 20]
    assert runs[1].status["state"] == "done"
    assert runs[0].status["health"] == pytest.approx(runs[1].status["health"], rel=1e-3)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_differ_are_refused_by_name_before_anything_is_written(rank: int, pair: Path) -> None:
    seed, content = (pair / f"said-{rank}.txt").read_text().splitlines()
    host = socket.gethostname()
    assert f"about --seed: process 1 of 2 on {host} has 1, and process 0 of 2 on {host} has 0" in seed
    assert f"about the data's content: process 1 of 2 on {host}" in content
    assert not (pair / "refused").exists()


@contextmanager
def running(folder: Path, steps: int) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The command with two devices, which trains, and the numbers of its processes."""
    told = {**settings("simclr", folder), **SAME, "steps": steps, "checkpoint_every": "5"}
    (folder / "told.yaml").write_text(yaml.safe_dump(told))
    words = ["pretrain", str(data(folder)), "--recipe", str(folder / "told.yaml"), "--out", str(folder / "run")]
    command = [sys.executable, "-m", "selftaught", *words, "--devices", "2"]
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "SELFTAUGHT_CACHE": str(folder / "cache")}
    parent = subprocess.Popen(command, env=where, stderr=subprocess.PIPE, text=True)
    lines = folder / "run" / "metrics.jsonl"
    try:
        while parent.poll() is None and not (lines.exists() and lines.read_text().count("\n") > 6):
            time.sleep(0.01)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        yield parent, [int(child) for child in children]
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_is_named(rank: int, tmp_path: Path) -> None:
    with running(tmp_path, 100_000) as (parent, children):
        os.kill(children[rank], signal.SIGKILL)
        said = parent.communicate(timeout=60)[1]
    assert parent.returncode == 1
    cause = f"process {rank} of 2 was ended by SIGKILL"
    assert cause in said.splitlines()[-1]
    assert cause in (tmp_path / "run" / "run.log").read_text().splitlines()[-1]
    assert checkpoint.load_newest(tmp_path / "run" / "checkpoints")[1]["step"] >= 5


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_signal_to_one_process_saves_once(tmp_path: Path) -> None:
    with running(tmp_path, 100_000) as (parent, children):
        os.kill(children[1], signal.SIGTERM)
        said = parent.communicate(timeout=60)[1]
    assert parent.returncode == 75
    assert "stopped by SIGTERM, which reached process 1 of 2" in said.splitlines()[-1]
    run = selftaught.Run.open(tmp_path / "run")
    saved = checkpoint.steps(run.checkpoints)[-1].name
    assert f"step {int(saved.removeprefix('step_')):,};" in run.status["reason"]


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    told = {**settings("simclr", tmp_path), "batch_size": 15}
    with pytest.raises(UsageError, match="--batch-size 15 cannot be divided among 2 processes; use 14 or 16"):
        selftaught.pretrain(data(tmp_path), out=tmp_path / "run", devices=2, **told)
    assert not (tmp_path / "run").exists()


def test_a_place_is_read_of_torchrun_and_of_slurm() -> None:
    told = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu1", "MASTER_PORT": "29500"}
    assert placed({**told, "GROUP_RANK": "1"}) == Place(3, 4, 1, "1", "gpu1", 29500)
    step = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "20007"}
    assert placed({**step, "SLURM_STEP_NODELIST": "gpu[03-05,11]", "SLURM_NODEID": "1"}) == Place(
        3, 4, 1, "1", "gpu03", 20007
    )
    assert placed({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) is None  # a batch script, of which there is one
    assert placed({"WORLD_SIZE": "1"}) is None
    with pytest.raises(UsageError, match="has no MASTER_PORT"):
        placed({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "gpu1"})


@pytest.mark.parametrize(
    ("listed", "first"), [("gpu1", "gpu1"), ("gpu[03-05,11],cpu7", "gpu03"), ("a1,b[2-3]", "a1"), ("n[7]-ib", "n7-ib")]
)
def test_the_first_host_of_a_list(listed: str, first: str) -> None:
    assert first_host(listed) == first
