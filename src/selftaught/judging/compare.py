"""Comparing methods under the same budget, with successive halving: a folder of runs, a ranking, a page.

A rung is a round in which every method that is left gets the same budget; the better half goes on to the next, with
twice as much, until the last rung has the whole. Each rung trains afresh, for two reasons. Learning rates, teachers and
masks follow a schedule over the whole of a run, so a network that is judged in the middle of a longer one, at a high
learning rate, says little about where that one would end; and each accuracy on the page is that of a whole run, which
anybody can repeat with `pretrain --budget`. The price is that those who reach the end train up to twice as long in all.

Test data chooses nothing here either: with --test, who goes on is decided on folds of that part of --train which has
neither a copy nor one of its group there.
"""

import itertools
import json
import os
import platform
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from selftaught.judging import probe as probes
from selftaught.judging.bench import Bench, Order
from selftaught.judging.comparison import Comparison, Ran, Rung, read_runs
from selftaught.judging.crew import Crew
from selftaught.judging.entrants import entrants, plan, refuse_twice, refuse_untaught
from selftaught.judging.estimates import Measure, estimates
from selftaught.judging.idle import refuse_alone, refuse_unread
from selftaught.judging.judges import judged_alike, judges
from selftaught.judging.measures import measure_of
from selftaught.judging.ranking import budget_of, ranked, verdict
from selftaught.judging.shown import parse_features
from selftaught.judging.subsets import parse_labels
from selftaught.run.folder import RunFolder, fresh_folder
from selftaught.run.recipes import Compare
from selftaught.run.ways import bands_of
from selftaught.system.components import hint
from selftaught.system.devices import counted, device_of
from selftaught.system.errors import Interrupted, SelftaughtError, UsageError
from selftaught.system.files import append_line, write_json
from selftaught.system.interruption import Stop, stopping
from selftaught.system.lock import LOCK, only_writer
from selftaught.system.ownership import (
    MANIFEST,
    Inside,
    Owned,
    begin_if_empty,
    has_fields,
    manifest_of,
    refuse_odd,
)
from selftaught.system.progress import Progress
from selftaught.system.saying import say
from selftaught.system.text import duration, number_of, printable
from selftaught.training.by_device import chosen_by_device
from selftaught.training.launch import refuse_here
from selftaught.training.own_methods import of_own, recognised

BUDGET = 20 * 60.0  # seconds, where the user names none
RECIPE, ROWS, RESULT, PAGE = "comparison.yaml", "comparison.jsonl", "comparison.json", "comparison.html"
HELD: Owned = {**dict.fromkeys((MANIFEST, LOCK, RECIPE, ROWS, RESULT, PAGE)), "runs": Inside(re.compile(""))}
OF_LABELS = ("train_labels", "test_labels", "groups", "test_groups", "task", "probe", "features", "labels")
FIELDS = ("data", "methods", "seeds", "rungs", "out", "resume")  # that every saved comparison.yaml has

Rounds = Sequence[tuple[int, float]]  # of each rung how many methods there are, and the share of the budget
Shown = Callable[[list[str]], None]  # what hears which runs are at work


def compare(command: Compare, written: Callable[[Comparison, Path], None]) -> Comparison:
    """Carry out a recipe; the result is in the folder, too, as comparison.json; `written` makes a page of it each time.

    A run that fails is a line that says why, and the others go on. Raises only if every method fails, or on a stop.
    """
    if command.out:
        _refuse_existing(Path(command.out), command.resume)
    elif command.resume:
        raise UsageError("--resume needs --out, the folder of the comparison to go on with")
    saved = Path(command.out or "") / RECIPE
    begun = command.resume and saved.exists()
    if begun:
        recipe = _refused(command.continued(Compare.load(saved)))
    else:
        recipe = _refused(command).model_copy(update={"beyond_test": True})
        _refuse_idle(recipe)
        refuse_twice(recipe.grid or "")
    count = counted(recipe.devices)  # more than there are is refused before anything is read
    refuse_here(count, recipe.devices)
    taking_part = entrants(recipe)
    if not begun:
        refuse_untaught(recipe, taking_part.values())
    methods = [entrant.method for entrant in taking_part.values()]
    if count > 1 and (own := of_own(methods)):
        raise UsageError(f"--devices {recipe.devices} starts processes, which do not know {own[0]}: leave it out")
    recipe = recognised(recipe, dict.fromkeys(methods))
    with stopping(recipe.time_limit) as stop:
        bench = Bench(recipe, taking_part, stop)
        samples = bench.samples(0)
        bench.chosen = chosen_by_device(recipe, bench.encoder, samples, bench.device)
        found: dict[str, Any] = {"fingerprint": samples.fingerprint, "bands": bands_of(recipe, bench.kind)}
        found["encoder"] = bench.encoder
        found["size"] = samples.preparation.size if bench.kind.SIZED else recipe.size
        found["score"] = recipe.score if recipe.train else bench.score
        found["teacher_fingerprint"] = bench.taught(samples)
        bench.recipe = recipe = recipe.model_copy(update=found)
        measure = Measure(recipe.probe, True) if recipe.train else Measure(bench.score, False)
        if recipe.train:
            data = judges(bench, samples.preparation)
            measure = replace(measure, of=measure_of(data))
            bench.recipe = recipe = judged_alike(recipe, data)
        folder = Path(recipe.out) if recipe.out else fresh_folder(f"{samples.name}-compare")
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder):
            _refuse_existing(folder, recipe.resume)
            begin_if_empty(folder, "comparison", HELD)
            recipe.model_copy(update={"resume": False}).save(folder / RECIPE)
            return _Contest(bench, measure, folder, stop, written).carry_out()


def _refuse_existing(folder: Path, resume: bool) -> None:
    held = {path.name for path in folder.iterdir()} - {LOCK, MANIFEST} if folder.exists() else set()
    refuse_odd(folder, HELD)
    if held and not manifest_of(folder) and not has_fields(folder / RECIPE, FIELDS):
        raise UsageError(f"{printable(str(folder))} holds other files, not a comparison; choose another --out")
    if held and not resume:
        raise UsageError(f"{printable(str(folder))} already exists; use --resume to go on with it, or another --out")


def _refused(recipe: Compare) -> Compare:
    """The recipe with a budget, after refusing what contradicts itself."""
    if recipe.budget and recipe.epochs:
        raise UsageError("give one of --budget and --epochs, not both")
    if recipe.test and not recipe.train:
        raise UsageError("--test needs --train, the labelled data to learn from")
    if recipe.probe not in (known := probes.of_features()):
        raise UsageError(f"--probe cannot be {recipe.probe!r}: it must judge features; {hint(recipe.probe, known)}")
    parse_features(recipe.features)
    if len(parse_labels(recipe.labels)) > 1:
        raise UsageError(f"--labels cannot be {recipe.labels!r}: a ranking is by one number of labels")
    return recipe if recipe.epochs else recipe.model_copy(update={"budget": recipe.budget or BUDGET})


def _refuse_idle(recipe: Compare) -> None:
    """Raise UsageError for settings that concern nothing; a comparison that was begun with some goes on."""
    refuse_alone(recipe, "train", *OF_LABELS)
    refuse_alone(recipe, "test", "test_labels", "test_groups")
    refuse_unread(recipe, {recipe.probe: probes.named(recipe.probe)})
    if recipe.train and recipe.score:
        say(f"note: --score {recipe.score} is what ranks without --train, whose labels rank here")


def parts_in(rung: int) -> int:
    """How many times as long as in the first rung a run of another one takes."""
    return 1 << (rung - 1)


class _Contest:
    """The rounds of one comparison, and what is kept of them."""

    def __init__(
        self, bench: Bench, measure: Measure, folder: Path, stop: Stop, written: Callable[[Comparison, Path], None]
    ) -> None:
        """What earlier runs in the folder were measured by all are, or they could not be compared."""
        self.bench, self.recipe, self.folder, self.stop, self.written = bench, bench.recipe, folder, stop, written
        self.runs: list[Ran] = []
        self.rungs: list[Rung] = []
        for ran in read_runs(folder / ROWS):
            self._take(ran)
        earlier = next((row.measure for ran in self.runs for row in ran.judged), measure.of)
        self.measure = replace(measure, of=earlier)
        self.devices = counted(self.recipe.devices)

    def carry_out(self) -> Comparison:
        """All rungs; what is in the folder already is not done again."""
        left = list(self.bench.entrants)
        rounds = plan(len(left), self.recipe.rungs)
        self._announce(rounds)
        try:
            with self._progress(rounds) as shown:
                self._hold(rounds, left, shown)
        except Interrupted as stop:  # judging, unlike training, does not know how to go on, nor a run of what it is
            way = "--resume" if self.recipe.out else f"--out {printable(str(self.folder))} --resume"
            said = str(stop)
            stop.args = (said.replace("--resume", way) if "--resume" in said else f"{said}; add {way} to go on",)
            raise
        comparison = self._write("done")
        if not comparison.ranking:
            first = comparison.failed[0]
            error = SelftaughtError(f"every method failed; {first.method}: {first.reason}")
            error.exit_code = first.exit_code
            raise error
        return comparison

    def _hold(self, rounds: Rounds, left: list[str], shown: Shown) -> None:
        for number, (count, share) in enumerate(rounds, 1):
            if not left:  # all have failed
                break
            rung = Rung(
                rung=number,
                budget=self.recipe.budget and share * self.recipe.budget,
                epochs=self.recipe.epochs and share * self.recipe.epochs,
                methods=left[:count],
                kept=[],
            )
            self.rungs.append(rung)
            say(f"\nrung {number} of {len(rounds)}: {budget_of(rung)} each for {', '.join(rung.methods)}")
            with closing(self._made(rung, shown)) as made:
                for ran in made:
                    self._keep(ran)
            left = list(estimates(self.runs, number, self.measure, held_out=True))
            rung.kept += left[: rounds[number][0]] if number < len(rounds) else []

    def _announce(self, rounds: Rounds) -> None:
        seconds = sum(count * share for count, share in rounds) * (self.recipe.budget or 0) * self.recipe.seeds
        said = f", at most {duration(seconds / self.devices)} of training and the judging on top" if seconds else ""
        counts = len(self.bench.entrants), self.recipe.seeds, len(rounds)
        say(f"compare  {', '.join(map(number_of, counts, ('method', 'seed', 'rung')))}{said}")
        for line in self.bench.chosen:
            say(f"         {line}")
        if self.devices > 1:
            say(f"         {self.devices} runs at once, each in a process of its own")
            if self.recipe.budget and device_of("auto").type == "cpu":
                say("warning: they share this machine's cores, so a time buys each fewer steps; --epochs buys the same")

    @contextmanager
    def _progress(self, rounds: Rounds) -> Iterator[Shown]:
        """What shows how far all is and when it will be done; a run alone shows that of itself."""
        if self.devices == 1:
            yield lambda working: None
            return
        whole = sum(count * parts_in(number) for number, (count, _) in enumerate(rounds, 1)) * self.recipe.seeds
        with Progress("comparing", whole, "parts", self._parts()) as bar:
            yield lambda working: bar.update(self._parts(), "; ".join(working))

    def _parts(self) -> int:
        """How much is done, where a run of the first rung is one part."""
        return sum(parts_in(ran.rung) for ran in self.runs)

    def _made(self, rung: Rung, shown: Shown) -> Generator[Ran, None, None]:
        """What comes of each run of a rung that has no line yet."""
        done = {(ran.method, ran.seed) for ran in self.runs if ran.rung == rung.rung}
        wanted = itertools.product(range(self.recipe.seeds), rung.methods)
        # Each is made when its time has come, as by then more is known.
        orders = (
            self.bench.order(self.folder, method, seed, rung, self.measure.of, self.runs)
            for seed, method in wanted
            if (method, seed) not in done
        )
        if self.devices == 1:
            return self._one_by_one(orders)
        return Crew(self.devices, self.stop, shown).ran(orders)

    def _one_by_one(self, orders: Iterable[Order]) -> Generator[Ran, None, None]:
        for order in orders:
            self.stop.poll()
            say(f"\n{order.title}")
            yield self.bench.ran(order)

    def _take(self, ran: Ran) -> None:
        """Take a run into the order in which one device has them."""
        self.runs.append(ran)
        places = {name: place for place, name in enumerate(self.bench.entrants)}
        self.runs.sort(key=lambda ran: (ran.rung, ran.seed, places.get(ran.method, len(places))))

    def _keep(self, ran: Ran) -> None:
        if ran.state == "failed":
            say(f"failed   {ran.method}: {ran.reason}")
        self._take(ran)
        append_line(self.folder / ROWS, ran.model_dump_json())
        if ran.state == "done":  # the encoder stays; nothing goes on from here
            RunFolder(self.folder / ran.run).remove_checkpoints()
        self._write("running")

    def _write(self, state: Any) -> Comparison:
        """comparison.json and comparison.html, of what is known by now."""
        recipe = self.recipe
        ranking = ranked(self.runs, self.measure)
        comparison = Comparison(
            **recipe.model_dump(include={"data", "train", "test", "seeds"}),
            out=str(self.folder),
            things=self.bench.kind.THINGS,
            measure=self.measure.name,
            labelled=self.measure.labelled,
            of=self.measure.of,
            labels=str(parse_labels(recipe.labels)[0]),
            rungs=self.rungs,
            machine={"platform": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
            state=state,
            ranking=ranking,
            verdict=verdict(ranking, self.measure, self.bench.kind.THINGS),
            runs=self.runs,
        )
        write_json(self.folder / RESULT, json.loads(comparison.model_dump_json()))
        self.written(comparison, self.folder / PAGE)
        return comparison
