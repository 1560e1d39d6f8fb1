"""Which of several processes this one is, as torchrun, SLURM or our own launcher tell it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from selftaught.system.errors import UsageError

PORTS = (20000, 20000)  # of SLURM's jobs: the first, and how many; those of Linux's own choice lie above


@dataclass(frozen=True)
class Place:
    """A process's numbers, of all and on its machine, and where all meet."""

    rank: int
    world: int
    local: int
    node: str  # tells machines apart that call themselves alike
    host: str
    port: int


def placed(told: Mapping[str, str]) -> Place | None:
    """The place that the environment gives this process; None where it is the only one. Raises UsageError."""
    if told.get("WORLD_SIZE", "1") != "1":
        return _by_torchrun(told)
    # Of srun's step alone: a batch script is one process, whatever it asks for.
    if told.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _by_slurm(told)
    return None


def _by_torchrun(told: Mapping[str, str]) -> Place:
    rank, world, port = (_number(told, name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    local = _number(told, "LOCAL_RANK") if "LOCAL_RANK" in told else 0
    return Place(rank, world, local, told.get("GROUP_RANK", ""), _word(told, "MASTER_ADDR"), port)


def _by_slurm(told: Mapping[str, str]) -> Place:
    rank, world, local, job = (
        _number(told, f"SLURM_{name}") for name in ("PROCID", "STEP_NUM_TASKS", "LOCALID", "JOB_ID")
    )
    host = told.get("MASTER_ADDR") or first_host(_word(told, "SLURM_STEP_NODELIST"))
    port = _number(told, "MASTER_PORT") if "MASTER_PORT" in told else PORTS[0] + job % PORTS[1]
    return Place(rank, world, local, told.get("SLURM_NODEID", ""), host, port)


def first_host(listed: str) -> str:
    """The first of the hosts that SLURM lists: gpu[03-05,11],cpu7 begins with gpu03."""
    name = re.match(r"([^,\[]*)(?:\[([^,\-\]]*)[^\]]*\])?([^,\[]*)", listed)
    return "".join(part or "" for part in name.groups()) if name else listed


def _number(told: Mapping[str, str], name: str) -> int:
    word = _word(told, name)
    if not word.isdigit():
        raise UsageError(f"the environment's {name} cannot be {word!r}: it is a number, which torchrun and srun set")
    return int(word)


def _word(told: Mapping[str, str], name: str) -> str:
    if name not in told:
        raise UsageError(f"the environment tells of several processes, but has no {name}, which torchrun and srun set")
    return told[name]
