"""The files that start a run on many machines say what the commands, torchrun and `system/places.py` understand."""

import inspect
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.run import get_args_parser

from selftaught.commands.flags import RecipeCommand
from selftaught.commands.table import COMMANDS
from selftaught.run.recipes import Planning, Pretrain
from selftaught.system.cards import CARDS
from selftaught.system.places import Place, placed
from selftaught.training.batches import refuse_uneven

DOCS = Path(__file__).parent.parent / "docs"
SBATCH, BY_HAND, SKY = (DOCS / "scale" / name for name in ("train.sbatch", "train.sh", "sky.yaml"))
# What SLURM and SkyPilot set, and what the files are told, for two machines with eight devices each.
BATCH = {"SLURM_CPUS_PER_TASK": "12", "SLURM_JOB_ID": "4711"}
CLOUD = {"SKYPILOT_NODE_IPS": "10.0.0.1", "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}
CLOUD |= {"SKYPILOT_NUM_GPUS_PER_NODE": "8"}
STEP = {"SLURM_STEP_NUM_TASKS": "16", "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
STEP |= {"SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_JOB_ID": "4711"}
WORKER = {"WORLD_SIZE": "16", "RANK": "9", "LOCAL_RANK": "1", "GROUP_RANK": "1", "MASTER_ADDR": "gpu03"}
WORKER |= {"MASTER_PORT": "29400"}
SET_BY_HAND = {"FIRST": "10.0.0.1"}


class Read(dict[str, str]):
    """An environment that notes what is read of it."""

    def __init__(self, told: Mapping[str, str]) -> None:
        super().__init__(told)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)


def script(file: Path) -> str:
    text = file.read_text()
    return str(yaml.safe_load(text)["run"]) if file.suffix == ".yaml" else text


def words(file: Path) -> list[str]:
    """The line of a file that starts the work, in words, with its variables filled in."""
    whole = script(file).replace("\\\n", " ")
    (line,) = (line for line in whole.splitlines() if "pretrain" in line)
    return [Template(word).substitute(BATCH | CLOUD | SET_BY_HAND) for word in shlex.split(line)]


def asked(said: list[str]) -> Pretrain:
    """The recipe that the real command makes of the words behind `selftaught`."""
    name, *args = said[said.index("selftaught") + 1 :]
    made: list[Any] = []
    row = COMMANDS[name]
    RecipeCommand(row.recipe, row.words, lambda recipe, as_json: made.append(recipe), row.options).main(
        args, standalone_mode=False
    )
    (recipe,) = made
    return recipe


def directives() -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", SBATCH.read_text(), re.MULTILINE))


@pytest.mark.parametrize("file", [SBATCH, BY_HAND, SKY], ids=lambda file: file.name)
def test_a_file_says_what_the_command_understands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)  # recipes are named from here
    recipe = asked(words(file))
    assert recipe.method.name == "simclr" and recipe.epochs == 100
    assert recipe.resume and recipe.out and not recipe.overwrite
    assert isinstance(recipe.batch_size, int)
    refuse_uneven(recipe.batch_size, 16)


@pytest.mark.parametrize("file", [BY_HAND, SKY], ids=lambda file: file.name)
def test_torchrun_understands_its_part(file: Path) -> None:
    said = words(file)
    assert said[0] == "torchrun"
    told = get_args_parser().parse_args(said[1:])
    assert (told.nnodes, int(told.nproc_per_node)) == ("2", 8)
    assert told.module and told.training_script == "selftaught" and told.training_script_args[0] == "pretrain"
    assert "10.0.0.1" in (told.master_addr, told.rdzv_endpoint.partition(":")[0])


def test_the_batch_script_starts_a_process_for_each_device_that_all_of_them_see() -> None:
    told = directives()
    assert told["ntasks-per-node"] == told["gpus-per-node"] == "8" and told["nodes"] == "2"
    assert not any("gpus-per-task" in word for word in (*told, *words(SBATCH)))
    assert told["signal"].startswith("TERM@")  # to the processes: with B: it would be the script's
    assert words(SBATCH)[0] == "srun" and '"$code" -eq 75' in script(SBATCH)


def test_the_cloud_starts_as_many_machines_as_are_told_of() -> None:
    asked_for = yaml.safe_load(SKY.read_text())
    assert asked_for["num_nodes"] == 2 and asked_for["resources"]["accelerators"].endswith(":8")
    (shared,) = asked_for["volumes"]
    assert f"--out {shared}/" in script(SKY)


@pytest.mark.parametrize("file", [SBATCH, BY_HAND, SKY], ids=lambda file: file.name)
def test_every_variable_is_set_by_somebody(file: Path) -> None:
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", script(file)))
    own = set(re.findall(r"^\s*([A-Za-z_]+)=", script(file), re.MULTILINE))
    known = {SBATCH: {*BATCH}, BY_HAND: {*SET_BY_HAND}, SKY: {*CLOUD}}[file]
    assert used - own <= known
    assert not re.search(r"^\s*export ", script(file), re.MULTILINE)  # what a process reads, its starter sets


def test_what_a_process_reads_is_what_its_starter_tells_and_the_page_says() -> None:
    step, worker = Read(STEP), Read(WORKER)
    assert placed(step) == Place(9, 16, 1, "1", "gpu03", 20000 + 4711)
    assert placed(worker) == Place(9, 16, 1, "1", "gpu03", 29400)
    read = step.names | worker.names
    agent = inspect.getsource(LocalElasticAgent)
    assert all(f'"{name}"' in agent for name in WORKER)
    page = (DOCS / "scale.md").read_text()
    (table,) = re.findall(r"\| variable \|.*?\n\n", page, re.DOTALL)
    assert set(re.findall(r"`([A-Z_]+)`", table)) == read


def test_the_pages_command_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    page = (DOCS / "scale.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("selftaught plan "))
    recipe = asked(shlex.split(line))
    assert isinstance(recipe, Planning) and recipe.method.name == "simclr" and recipe.size == (224, 224)
    assert (recipe.nodes, recipe.devices, recipe.samples) == (8, "8", 10**8) and recipe.card in CARDS
