"""The hands of others in a run folder: links, pipes, foreign files, lists and records that are damaged.

Each meddling is a function of a `World` and a generator of random numbers. It does one thing, notes in the world what
of it is somebody's from then on and what has taken the place of ours, and leaves the rest to the commands that follow.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from selftaught.run import checkpoint
from selftaught.system.lock import host
from selftaught.system.ownership import MANIFEST, begin
from tests.reliability.fuzz import Kind, made_odd
from tests.reliability.world import SECRET, World, away

NAMES = ("run.log", "quarantine.csv", "environment.json", "lock", "metrics.jsonl", "status.json", "bad_batches.jsonl")
NAMES += ("data.json", "evaluation.json", "evaluations/1.json", MANIFEST, "encoder/config.json", "checkpoints/last")
FOLDERS = ("encoder", "checkpoints", "evaluations", "map")
RECORDS = ("metrics.jsonl", "bad_batches.jsonl", "evaluation.json", "evaluations/1.json", "status.json")
RECORDS += ("environment.json", "data.json", "quarantine.csv", "map/end.json", "encoder/config.json")
STRANGERS = ("notes.txt", "thesis/chapter 1.tex", ".hidden", "checkpoint.ckpt")
THEIRS = {
    "recipe.yaml": "data: flour\nmethod: knead\n",
    "status.json": '{"state": "baking", "reason": "sunday"}\n',
    "checkpoints/step_0000001/model.safetensors": "crumbs",
    "report.html": "<p>bread</p>\n",
    "evaluation.json": '{"taste": 9}\n',
    "run.log": "18:00 oven on\n",
    "lock": "of the door\n",
    MANIFEST: "a list of my own\n",
    "encoder/config.json": "{}\n",
    "album/1.jpg": "a face",
}


def _place(world: World, rng: Random) -> str:
    """A name in the run, of a file that is there or may come, in a folder that is no link."""
    return rng.choice([name for name in NAMES if (parent := (world.run / name).parent) == parent.resolve()])


def linked_to_theirs(world: World, rng: Random) -> None:
    """What a command would read there, and the secret in it, is somebody's; so is what it would write."""
    name = _place(world, rng)
    target = world.mine / Path(name).name
    original = world.pristine / "run" / name
    target.write_bytes(baited(original.read_bytes() if original.exists() else b""))
    world.replace(name).symlink_to(target)


def baited(content: bytes) -> bytes:
    """The same with the secret wherever a page would show it: in place of words in JSON, or as a line more."""
    try:
        told = [json.loads(line) for line in ([content] if content[:2] == b"{\n" else content.splitlines())]
    except ValueError:
        told = []
    if not told:
        return content + f"{SECRET},{SECRET}\n".encode()
    baits = [{key: SECRET if isinstance(held, str) else held for key, held in line.items()} for line in told]
    return "".join(json.dumps({**line, "note": SECRET}) + "\n" for line in baits).encode()


def linked_folder(world: World, rng: Random) -> None:
    """A folder of the run's, in somebody's, with a link in its place."""
    name = rng.choice(FOLDERS)
    album = world.mine / f"album of {name}"
    shutil.copytree(world.pristine / "run" / name, album, dirs_exist_ok=True)
    world.replace(name).symlink_to(album)


def linked_to_nowhere(world: World, rng: Random) -> None:
    world.replace(_place(world, rng)).symlink_to(world.mine / "not yet")


def piped(world: World, rng: Random) -> None:
    os.mkfifo(world.replace(_place(world, rng)))


def list_cut(world: World, rng: Random) -> None:
    """Anywhere, at its beginning, too."""
    file = world.replace(MANIFEST)
    whole = (world.pristine / "run" / MANIFEST).read_bytes()
    file.write_bytes(whole[: rng.choice((0, rng.randrange(len(whole))))])
    world.theirs.discard(file)


def list_of_garbage(world: World, rng: Random) -> None:
    file = world.replace(MANIFEST)
    whole = (world.pristine / "run" / MANIFEST).read_bytes()
    file.write_bytes(made_odd(Kind(MANIFEST, b"", print), whole, rng))
    world.theirs.discard(file)


def list_of_another(world: World, rng: Random) -> None:
    """Of another kind of work, or one that names what somebody has put there."""
    file = world.replace(MANIFEST)
    kind = rng.choice(("pretrain", "finetune", "compare"))
    begin(world.run, kind, rng.choice((["run.log"], ["recipe.yaml", "classifier"], ["notes.txt", "thesis"])))
    world.theirs.discard(file)


def foreign_files(world: World, rng: Random) -> None:
    """A file or a folder with a file, in the run or in a folder of its, such as a checkpoint, half written or whole."""
    step = rng.choice(checkpoint.steps(world.run / "checkpoints") or [world.run])
    half = world.run / "checkpoints" / f".step_0000004~{host()}-1-0~0"  # whose process has ended
    places = [world.run, world.run / "checkpoints", step, half, *(world.run / name for name in FOLDERS)]
    place = rng.choice([place for place in places if place.parent.resolve() / place.name == place.resolve()])
    file = place / rng.choice(STRANGERS)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"mine, {rng.random()}\n")
    world.theirs.add(file)


def their_page(world: World, rng: Random) -> None:
    """A file called as one of ours that the run has not: by its list it is theirs."""
    file = world.run / "report.html"
    if not os.path.lexists(file):
        file.write_text("<p>mine</p>")
        world.theirs.add(file)


def their_folder(world: World, rng: Random) -> None:
    """A folder of somebody's whose files are called as ours, named by --out."""
    world.out = world.mine / "bakery"
    for name in rng.sample(sorted(THEIRS), rng.randint(1, len(THEIRS))):
        file = world.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(THEIRS[name])
    (world.out / "thesis.txt").write_text("forty pages\n")


def run_in_data(world: World, rng: Random) -> None:
    """A run with its pictures among the pictures that are data, with its list or from before there were lists."""
    old = world.photos / "runs" / "old"
    shutil.copytree(world.pristine / "run", old, dirs_exist_ok=True)
    if rng.random() < 0.5:
        away(old / MANIFEST)


def damaged_record(world: World, rng: Random) -> None:
    """A line or a value of what the run says of itself."""
    _damage(rng.choice(world.ours(RECORDS) or [world.mine / "scrap"]), rng)


def damaged_cache(world: World, rng: Random) -> None:
    """Decoded images, what is known of them, digests of files, or which way was the fastest."""
    _damage(rng.choice(sorted(path for path in world.cache.rglob("*") if path.is_file())), rng)


def _damage(file: Path, rng: Random) -> None:
    whole = file.read_bytes() if file.exists() else b""
    odd = whole
    while odd == whole:
        odd = made_odd(Kind(file.name, b"", print), whole, rng) if whole else rng.randbytes(9)
    file.write_bytes(odd)


Meddling = Callable[[World, Random], None]
LISTS: tuple[Meddling, ...] = (list_cut, list_of_garbage, list_of_another)
MEDDLINGS: tuple[Meddling, ...] = (
    *(linked_to_theirs, linked_folder, linked_to_nowhere, piped, *LISTS, foreign_files, their_page, their_folder),
    *(run_in_data, damaged_record, damaged_cache),
)


def meddlings(rng: Random, live: bool = False) -> list[Meddling]:
    """One to three that go together; `live` where the run is being written meanwhile.

    Without a list nobody can tell a page of somebody's from one of ours; and a folder of a run that becomes a link
    while it is written in is more than is promised.
    """
    among = [meddling for meddling in MEDDLINGS if not (live and meddling in (linked_folder, their_folder))]
    chosen = rng.sample(among, rng.randint(1, 3))
    return [meddling for meddling in chosen if meddling is not their_page or not {*LISTS} & {*chosen}] or [piped]
