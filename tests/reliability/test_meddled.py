"""The hands of others do what they say, and what must hold after a command can fail; `make soak` tries it all."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

from selftaught.run import checkpoint
from selftaught.run.layout import NAMES
from selftaught.system.ownership import MANIFEST, begin
from tests.reliability import meddled, meddling
from tests.reliability.meddled import Trial
from tests.reliability.meddling import LISTS, MEDDLINGS, RECORDS, Meddling, meddlings
from tests.reliability.world import SECRET, STEPS, World, looks_like
from tests.reliability.written import write_run


def state(run: Path, value: float) -> None:
    checkpoint.save(run / "checkpoints", STEPS, {"model": {"w": torch.full((5,), value)}}, {})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One in which nothing was trained."""
    made = World(tmp_path.resolve())
    for file in (made.photos / "a" / "1.png", made.mine / "diary.txt", made.cache / "autotune" / "1.json"):
        file.parent.mkdir(parents=True)
        file.write_text(SECRET if made.mine in file.parents else '["32-true", "contiguous"]')
    write_run(made.run)
    begin(made.run, "pretrain", NAMES["pretrain"])
    (made.run / "evaluations").mkdir()
    (made.run / "evaluations" / "1.json").write_bytes((made.run / "evaluation.json").read_bytes())
    state(made.whole, 1.0)
    made.pristine.mkdir()
    for folder in (made.run, made.mine, made.cache):
        folder.rename(made.pristine / folder.name)
    made.begin_anew()
    return made


def all_of(world: World) -> dict[str, str]:
    return {str(path.relative_to(world.root)): looks_like(path) for path in world.root.rglob("*")}


def link(world: World) -> Path:
    (found,) = (path for path in world.run.rglob("*") if path.is_symlink())
    return found.readlink()


def differs(world: World, *names: str) -> bool:
    """Whether one of these files in the run, or of the cache, is not as it was made."""
    return any((world.root / name).read_bytes() != (world.pristine / name).read_bytes() for name in names)


DONE: dict[Meddling, Callable[[World], bool]] = {
    meddling.linked_to_theirs: lambda world: SECRET in link(world).read_text() and world.mine in link(world).parents,
    meddling.linked_folder: lambda world: link(world).is_dir() and world.mine in link(world).parents,
    meddling.linked_to_nowhere: lambda world: not os.path.lexists(link(world)),
    meddling.piped: lambda world: any(looks_like(path)[0] == "p" for path in world.run.rglob("*")),
    **{list_: lambda world: differs(world, f"run/{MANIFEST}") for list_ in LISTS},
    meddling.foreign_files: lambda world: all(path.is_file() and world.run in path.parents for path in world.theirs),
    meddling.their_page: lambda world: world.theirs == {world.run / "report.html"},
    meddling.their_folder: lambda world: (world.out / "thesis.txt").exists() and world.mine in world.out.parents,
    meddling.run_in_data: lambda world: (world.photos / "runs" / "old" / "recipe.yaml").exists(),
    meddling.damaged_record: lambda world: differs(world, *(f"run/{name}" for name in RECORDS)),
    meddling.damaged_cache: lambda world: differs(world, "cache/autotune/1.json"),
}


@pytest.mark.parametrize("hand", MEDDLINGS)
@pytest.mark.parametrize("seed", range(4))
def test_each_meddling_does_what_it_says_and_is_set_right(hand: Meddling, seed: int, world: World) -> None:
    before = all_of(world)
    hand(world, Random(seed))
    assert all_of(world) != before and DONE[hand](world)
    assert world.theirs or hand not in (meddling.foreign_files, meddling.their_page)
    assert {str(path.relative_to(world.root)) for path in world.theirs} <= world.snapshot().keys()
    world.set_right()
    left = {key: held for key, held in all_of(world).items() if before.get(key) != held}
    assert not [key for key, held in left.items() if held.startswith(("link", "p")) or key == f"run/{MANIFEST}"]
    world.begin_anew()
    assert all_of(world) == before


def test_every_meddling_comes_up_alone_and_with_others() -> None:
    chosen = [meddlings(Random(seed)) for seed in range(200)]
    assert {hand for hands in chosen for hand in hands} == {*MEDDLINGS} and {len(hands) for hands in chosen} == {
        1,
        2,
        3,
    }
    live = [meddlings(Random(seed), live=True) for seed in range(200)]
    assert not {meddling.linked_folder, meddling.their_folder} & {hand for hands in live for hand in hands}
    assert not [hands for hands in chosen if meddling.their_page in hands and {*LISTS} & {*hands}]


def told(text: str, code: int) -> Callable[[World], int]:
    return lambda world: print(text, file=meddled.sys.stderr) or code


def wrote(name: str, text: str) -> Callable[[World], int]:
    return lambda world: (world.root / name).write_text(text) and 0


def removed(world: World) -> int:
    next(iter(world.theirs)).unlink()
    return 0


def hung(world: World) -> int:
    return signal.pause() or 0


def done_otherwise(world: World) -> int:
    state(world.run, 2.0)
    return 0


def done_alike(world: World) -> int:
    state(world.run, 1.0)
    return 0


@pytest.mark.parametrize(
    ("name", "work", "fault"),
    [
        ("report", told("", 0), None),
        ("report", told("error: so it is", 2), None),
        ("resume", done_alike, None),
        ("again", told("error: it is there", 2), None),
        ("report", told("error: dead", 1), "exit 1: error: dead"),
        ("report", told("", -11), "exit"),
        ("report", told("Traceback (most recent call last)", 0), "says 'Traceback'"),
        ("report", told("error: this is a bug: x", 2), "says 'this is a bug'"),
        ("report", told("", 2), "does not say why in one line"),
        ("report", told("error: a\nerror: b", 3), "does not say why in one line"),
        ("report", hung, "hangs"),
        ("report", removed, "notes.txt was changed"),
        ("report", wrote("mine/diary.txt", "x"), "mine/diary.txt was changed"),
        ("report", wrote("photos/new.png", "x"), "photos/new.png was changed"),
        ("report", wrote("run/report.html", f"<p>{SECRET}"), "report.html has what a link leads to"),
        ("report", wrote("mine/report.html", "x"), "mine/report.html was changed"),
        ("report", told(SECRET, 0), "stderr has what a link leads to"),
        ("again", told("", 0), "exit 0 where the folder is taken"),
        ("check", lambda world: print('{"count": 17}', file=meddled.sys.stdout) or 0, "17 pictures are data"),
        ("resume", done_otherwise, "another state than that of an undisturbed run"),
    ],
)
def test_what_must_hold_after_a_command_can_fail(
    name: str,
    work: Callable[[World], int],
    fault: str | None,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (world.run / "notes.txt").write_text("mine")
    world.theirs.add(world.run / "notes.txt")
    monkeypatch.setattr(meddled, "run_command", lambda words: work(world))
    trial = Trial(world)
    if work is hung:
        monkeypatch.setattr(meddled, "HANGS", 0.0)
        trial.said.touch()  # it may have been ended before it said anything
    trial.follow(name)
    if fault is None:
        assert trial.failures == [] and trial.compared >= 4
    else:
        assert [failure for failure in trial.failures if fault in failure], trial.failures
