"""Two machines, as two namespaces of the network that a cable joins, and the cable is pulled out."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from selftaught.run import checkpoint
from selftaught.system import connections, departures, meeting
from tests.distributed.runs import ROOT, SAME, data, settings

APART = ["unshare", "--user", "--map-root-user", "--net", "--uts"]  # all of it is gone when its processes are
CABLE = "ip link add near type veth peer name far"
# Of the command "$@" a process on each machine; once there is a file `cut`, the cable is.
SCRIPT = f"""
set -e
hostname left
ip link set lo up
{CABLE}
ip addr add 10.77.0.1/24 dev near
ip link set near up
unshare --net --uts sh -c '
    hostname right
    ip link set lo up
    touch ready
    until ip link set far up 2> nothing; do sleep 0.02; done
    ip addr add 10.77.0.2/24 dev far
    RANK=1 GLOO_SOCKET_IFNAME=far exec "$@" 2> right.txt' sh "$@" & right=$!
until [ -e ready ]; do sleep 0.02; done
ip link set far netns $right
set +e
(RANK=0 GLOO_SOCKET_IFNAME=near "$@" 2> left.txt; echo $? > left; touch cut) & left=$!
until [ -e cut ]; do sleep 0.02; done
ip link set near down
wait $right; echo $? > right
wait $left
"""


@contextmanager
def machines(folder: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Two of them, which work in one folder."""
    told = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500"}
    told |= {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "SELFTAUGHT_CACHE": "cache", "OMP_NUM_THREADS": "1"}
    script = subprocess.Popen(
        [*APART, "sh", "-c", SCRIPT, "sh", *command], cwd=folder, env={**os.environ, **told}, start_new_session=True
    )
    try:
        yield script
    finally:
        with suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
        script.wait()


def refusal() -> str:
    """Why this machine cannot be two; nothing where it can."""
    if sys.platform != "linux":
        return "they are Linux's"
    try:
        tried = subprocess.run([*APART, "sh", "-c", f"hostname left && {CABLE}"], capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no unshare"
    return tried.stderr.strip() or f"exit code {tried.returncode}" if tried.returncode else ""


def test_a_machine_that_is_cut_off_ends_the_job_on_both_sides_and_is_named(tmp_path: Path) -> None:
    if why := refusal():
        pytest.skip(f"no namespaces with a cable between them can be made here: {why}")
    told = {**settings("simclr", tmp_path), **SAME, "steps": 100_000, "checkpoint_every": "5"}
    (tmp_path / "told.yaml").write_text(yaml.safe_dump(told))
    words = ["pretrain", data(tmp_path).name, "--recipe", "told.yaml", "--out", "run"]
    lines, cut = tmp_path / "run" / "metrics.jsonl", tmp_path / "cut"
    with machines(tmp_path, [sys.executable, "-m", "tests.distributed.impatient", *words]) as script:
        while script.poll() is None and not cut.exists():
            time.sleep(0.02)
            if lines.exists() and lines.read_text().count("\n") > 6:
                cut.touch()
        assert script.wait() == 0
    left, right = ((tmp_path / f"{side}.txt").read_text().splitlines()[-1] for side in ("left", "right"))
    assert left.startswith("error: process 1 of 2 on right does not answer")
    assert right.startswith("error: process 0 of 2 on left cannot be reached")
    assert [(tmp_path / side).read_text().strip() for side in ("left", "right")] == ["1", "1"]
    assert left in (tmp_path / "run" / "run.log").read_text()
    assert checkpoint.load_newest(tmp_path / "run" / "checkpoints")[1]["step"] >= 5


def test_a_machine_that_is_cut_off_is_noticed_within_a_minute() -> None:
    assert meeting.SILENCE + connections.UNANSWERED + departures.LAST_WORDS < 60
