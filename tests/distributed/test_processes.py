"""Several processes of the real command: what one makes, and nobody left behind when one of them ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

import selftaught
from selftaught.run import checkpoint
from selftaught.system.errors import UsageError
from selftaught.system.places import Place, first_host, placed
from tests.children import exit_codes
from tests.distributed.runs import (
    BATCH,
    BROKEN,
    COUNT,
    FEW,
    ROOT,
    SAME,
    SAMPLED,
    SPREAD,
    STEPS,
    WHOLE,
    apart,
    by_sample,
    changed,
    data,
    photos,
    settings,
    show,
    start,
    unusual,
)

TOLD = 1e-5  # what is promised of losses, relative to those of one process


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where four processes, started as by torchrun, have shown what `runs.show` has, and one has trained."""
    folder = tmp_path_factory.mktemp("team")
    photos(folder)
    told = {"SELFTAUGHT_CACHE": str(folder / "cache"), "SELFTAUGHT_SILENCE": "20"}
    running = start(4, partial(show, folder, free_port(), free_port(), free_port()), 1, **told)
    try:
        changed(folder, folder / "one", sorted({*WHOLE, *SPREAD}))
        unusual(folder, folder / "one", folder / "one")
        by_sample(folder, folder / "sampled-one")
        assert exit_codes([running[rank] for rank in (0, 2)]) == [0, 0]
        yield folder
    finally:
        for one in running:  # the others hang, as they are to
            one.kill()
            one.join()


def ended(folder: Path, run: str, rank: int = 0) -> tuple[int, str]:
    """Exit code and last line of what a process did."""
    told = json.loads((folder / f"{run}-{rank}.json").read_text())
    return told["code"], told["line"]


@pytest.mark.parametrize("name", WHOLE)
def test_two_processes_have_the_losses_of_one(name: str, team: Path) -> None:
    assert apart(name, team / "one", team / "two") < TOLD


@pytest.mark.parametrize("name", SPREAD)
def test_weights_that_are_spread_give_the_losses_of_one_process(name: str, team: Path) -> None:
    assert apart(name, team / "one", team / "spread") < TOLD
    shares = sorted(path.name for path in (team / "spread" / name / "checkpoints/step_0000020").glob("model.*-of-*"))
    assert shares == ["model.1-of-2.safetensors", "model.2-of-2.safetensors"]
    whole, mine = (selftaught.load_encoder(team / which / name) for which in ("one", "spread"))
    for (key, a), b in zip(whole.state_dict().items(), mine.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")
    runs = [selftaught.Run.open(team / which / name) for which in ("one", "spread")]
    assert [run.recipe.shard for run in runs] == ["none", "2"]
    assert [run.recipe.order for run in runs] == [("blocks" if name == "mae" else "full")] * 2
    assert runs[0].status["chosen_step"] == runs[1].status["chosen_step"]


@pytest.mark.parametrize(("kind", "told"), [("lora", TOLD), ("half", 1e-3), ("own", 1e-6)])
def test_low_ranks_chunks_other_precisions_and_a_network_of_ones_own_can_be_spread(
    kind: str, told: float, team: Path
) -> None:
    assert apart(kind, team / "one", team / "spread", FEW) < told
    health = [selftaught.Run(team / which / kind).status["health"] for which in ("one", "spread")]
    assert health[0] == pytest.approx(health[1], rel=1e-3)


def test_weights_are_gathered_once_a_look_and_again_where_a_step_is_returned_to(team: Path) -> None:
    looks = STEPS * BATCH // COUNT  # besides the first; the exports at these steps take none of their own
    for rank in (0, 1):
        times = {name: json.loads((team / f"gathered-{name}-{rank}.json").read_text()) for name in SPREAD}
        assert len(times["moco"]) == 1 + looks
        assert len(times["mae"]) == 1 + looks + 1
    assert times["mae"] == [0, 10, 20, 21]


def test_a_run_goes_on_by_one_process_two_four_and_two(team: Path) -> None:
    assert apart("mae", team / "one", team / "resumed") < TOLD
    run = selftaught.Run.open(team / "resumed" / "mae")
    assert run.status["state"] == "done" and run.recipe.order == "blocks"
    log = (run.folder / "run.log").read_text()
    assert [log.count(f"resuming at step {step}\n") for step in (5, 10, 15)] == [1, 1, 1]
    assert "stopped by SIGTERM, which reached process 3 of 4" in log


def test_two_processes_replace_what_is_broken_as_one_does_and_list_it_once(team: Path) -> None:
    """They tell each other every three steps, and before a look or a save."""
    assert apart(SAMPLED, team / "sampled-one", team / "sampled-two") < TOLD
    for which in ("sampled-one", "sampled-two"):
        run = team / which / SAMPLED
        lines = [json.loads(line) for line in (run / "replaced.jsonl").read_text().splitlines()]
        assert sorted(line["row"] for line in lines) == list(BROKEN)
        listed = (run / "quarantine.csv").read_text().splitlines()[1:]
        assert sorted(listed) == [f"{row:03d}.png,{listed[0].partition(',')[2]}" for row in BROKEN]


@pytest.mark.parametrize("rank", [0, 1])
def test_too_many_that_are_broken_end_all_processes_with_the_step_saved(rank: int, team: Path) -> None:
    code, line = ended(team, "too-many", rank)
    assert code == 3 and "2 of the last 160 images met cannot be decoded, more than 1%" in line
    run = selftaught.Run.open(team / "too-many" / SAMPLED)
    assert run.status["reason"].endswith(line) and run.status["exit_code"] == 3
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == len(run.metrics()) + 1


def test_what_two_processes_write_is_one_run(team: Path) -> None:
    runs = [selftaught.Run.open(team / which / "simclr") for which in ("one", "two")]
    assert [path.name for path in sorted(runs[0].folder.iterdir())] == [
        p.name for p in sorted(runs[1].folder.iterdir())
    ]
    assert [len(run.metrics()) for run in runs] == [20, 20]
    assert runs[1].status["state"] == "done"
    assert runs[0].status["health"] == pytest.approx(runs[1].status["health"], rel=1e-3)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_differ_are_refused_by_name_before_anything_is_written(rank: int, team: Path) -> None:
    seed, content, shard = (team / f"said-{rank}.txt").read_text().splitlines()
    host = socket.gethostname()
    assert f"about --seed: process 1 of 2 on {host} has 1, and process 0 of 2 on {host} has 0" in seed
    assert f"about the data's content: process 1 of 2 on {host}" in content
    assert "--shard 3 does not divide the number of processes, 2: use 2, or none" in shard
    assert not (team / "refused").exists()


def test_a_process_that_raises_is_named_and_ends_the_others(team: Path) -> None:
    cause = f"process 1 of 2 on {socket.gethostname()} ended: RuntimeError: a fault of its own"
    assert ended(team, "raises") == (1, cause)
    assert ended(team, "raises", 1) == (1, "a fault of its own")
    run = selftaught.Run.open(team / "raises" / "simclr")
    assert run.status["state"] == "failed" and cause in run.status["reason"]
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 5


def test_a_process_that_runs_out_of_memory_leaves_the_last_whole_step(team: Path) -> None:
    code, line = ended(team, "short")
    assert code == 5
    assert line.startswith(f"process 1 of 2 on {socket.gethostname()} ended: out of memory")
    assert "step 6 is kept: free some memory and add --resume, or start anew with --batch-size 8" in line
    assert checkpoint.load_newest(team / "short" / "simclr" / "checkpoints")[1]["step"] == 6


def test_a_process_that_hangs_is_named_and_ends_the_others(team: Path) -> None:
    code, line = ended(team, "hangs")
    assert code == 1
    assert line.startswith(f"process 1 of 2 on {socket.gethostname()} does not answer")
    run = selftaught.Run.open(team / "hangs" / "simclr")
    assert line in run.status["reason"]
    assert checkpoint.load_newest(run.checkpoints)[1]["step"] == 5


def test_a_process_that_stops_as_it_writes_its_rows_is_named_and_ends_the_others(team: Path) -> None:
    code, line = ended(team, "stops", 2)
    assert code == 1
    assert line.startswith(f"process 1 of 2 on {socket.gethostname()} does not answer")
    assert line in selftaught.Run.open(team / "stops" / "moco").status["reason"]


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
    children: list[int] = []
    try:
        while parent.poll() is None and not (lines.exists() and lines.read_text().count("\n") > 6):
            time.sleep(0.01)
        children += map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
        yield parent, children
    finally:  # nobody is left behind where a test fails
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        parent.kill()
        parent.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_is_named(rank: int, tmp_path: Path) -> None:
    with running(tmp_path, 100_000) as (parent, children):
        os.kill(children[rank], signal.SIGKILL)
        said = parent.communicate()[1]
    assert parent.returncode == 1
    cause = f"process {rank} of 2 was ended by SIGKILL"
    assert cause in said.splitlines()[-1]
    assert cause in (tmp_path / "run" / "run.log").read_text().splitlines()[-1]
    kept = checkpoint.load_newest(tmp_path / "run" / "checkpoints")[1]["step"]
    run = selftaught.Run.open(tmp_path / "run")  # whoever is left writes its status
    assert kept >= 5 and run.status["state"] == "failed" and cause in run.status["reason"]
    told = f"{cause}; step {kept:,} is kept: add --resume to go on"
    assert told in run.status["reason"] and told in said.splitlines()[-1]
    if rank:  # the leader has every step that was taken
        assert kept >= run.metrics()[-1]["step"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_signal_to_one_process_saves_once(tmp_path: Path) -> None:
    with running(tmp_path, 100_000) as (parent, children):
        os.kill(children[1], signal.SIGTERM)
        said = parent.communicate()[1]
    assert parent.returncode == 75
    assert "stopped by SIGTERM, which reached process 1 of 2" in said.splitlines()[-1]
    run = selftaught.Run.open(tmp_path / "run")
    saved = checkpoint.steps(run.checkpoints)[-1].name
    assert f"step {int(saved.removeprefix('step_')):,};" in run.status["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_stop_before_the_processes_hear_of_signals_is_no_fault(tmp_path: Path) -> None:
    """They are importing, and nobody has made a run."""
    words = ["pretrain", str(data(tmp_path)), "--out", str(tmp_path / "run"), "--steps", "100000", "--devices", "2"]
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "SELFTAUGHT_CACHE": str(tmp_path / "cache")}
    parent = subprocess.Popen(
        [sys.executable, "-m", "selftaught", *words], env=where, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while parent.poll() is None and not children.read_text():
        time.sleep(0.001)
    parent.send_signal(signal.SIGTERM)
    said = parent.communicate()[1]
    assert parent.returncode == 75 and "stopped by SIGTERM" in said.splitlines()[-1]


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
