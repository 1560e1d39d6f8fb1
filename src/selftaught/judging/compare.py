"""Comparing methods under the same budget, with successive halving: a folder of runs, a ranking, a page.

A rung is a round in which every method that is left gets the same budget; the better half goes on to the next, with
twice as much, until the last rung has the whole. Each rung trains afresh, for two reasons. Learning rates, teachers and
masks follow a schedule over the whole of a run, so a network that is judged in the middle of a longer one, at a high
learning rate, says little about where that one would end; and each accuracy on the page is that of a whole run, which
anybody can repeat with `pretrain --budget`. The price is that those who reach the end train up to twice as long in all.

Test data chooses nothing here either: with --test, who goes on is decided on folds of --train.
"""

import json
import math
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from selftaught.contracts import modality
from selftaught.contracts.encoder import TokenEncoder
from selftaught.contracts.modality import Samples
from selftaught.judging import probe as probes
from selftaught.judging.comparison import Comparison, Ran, Rung, read_runs, training_of
from selftaught.judging.entrants import Entrant, entrants, plan
from selftaught.judging.estimates import Measure, estimates
from selftaught.judging.evaluate import evaluate, open_judged
from selftaught.judging.measures import measure_of
from selftaught.judging.ranking import budget_of, ranked, verdict
from selftaught.judging.result import Row
from selftaught.judging.shown import parse_features
from selftaught.judging.subsets import parse_labels
from selftaught.methods import registry
from selftaught.run.fields import Mark
from selftaught.run.folder import RunFolder, fresh_folder
from selftaught.run.recipes import Compare, Evaluate, Pretrain
from selftaught.system.components import Part, hint
from selftaught.system.errors import (
    DataError,
    Interrupted,
    SelftaughtError,
    UsageError,
    is_of_the_disk,
    is_out_of_memory,
)
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
from selftaught.system.saying import say
from selftaught.system.text import duration, printable
from selftaught.training.looking.scores import worth
from selftaught.training.pretrain import pretrain
from selftaught.training.resolve import open_data

BUDGET = 20 * 60.0  # seconds, where the user names none
RECIPE, ROWS, RESULT, PAGE = "comparison.yaml", "comparison.jsonl", "comparison.json", "comparison.html"
HELD: Owned = {**dict.fromkeys((MANIFEST, LOCK, RECIPE, ROWS, RESULT, PAGE)), "runs": Inside(re.compile(""))}
FIELDS = ("data", "methods", "seeds", "rungs", "out", "resume")  # that every saved comparison.yaml has


def compare(command: Compare, written: Callable[[Comparison, Path], None]) -> Comparison:
    """Carry out a recipe; the result is in the folder, too, as comparison.json; `written` makes a page of it each time.

    A run that fails is a line that says why, and the others go on. Raises only if every method fails, or on a stop.
    """
    if command.out:
        _refuse_existing(Path(command.out), command.resume)
    elif command.resume:
        raise UsageError("--resume needs --out, the folder of the comparison to go on with")
    saved = Path(command.out or "") / RECIPE
    recipe = command.continued(Compare.load(saved)) if command.resume and saved.exists() else command
    recipe = _refused(recipe)
    chosen = entrants(recipe)
    with stopping(recipe.time_limit) as stop:
        bench = _Bench(recipe, chosen, stop, written)
        samples = bench.samples(0)
        recipe = recipe.model_copy(update={"fingerprint": samples.fingerprint})
        if recipe.train:  # a mistake in it should not be found out after the first run
            data = open_judged(bench.judging("", seed=0, test=True), samples.preparation)
            bench.measure = replace(bench.measure, of=measure_of(data))
        folder = Path(recipe.out) if recipe.out else fresh_folder(f"{samples.name}-compare")
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder):
            _refuse_existing(folder, recipe.resume)
            begin_if_empty(folder, "comparison", HELD)
            recipe.model_copy(update={"resume": False}).save(folder / RECIPE)
            return bench.carry_out(folder)


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


class _Bench:
    """Trains and judges the runs of one comparison, each by the same settings."""

    def __init__(
        self, recipe: Compare, entrants: dict[str, Entrant], stop: Stop, written: Callable[[Comparison, Path], None]
    ) -> None:
        self.recipe, self.entrants, self.stop, self.written = recipe, entrants, stop, written
        self.kind = modality.of(recipe.data)
        self.measure = Measure(recipe.probe, True) if recipe.train else Measure(recipe.score, False)
        self.runs: list[Ran] = []
        self.rungs: list[Rung] = []
        self._opened = lru_cache(maxsize=1)(self._open)
        self.encoder = self.token_encoder = recipe.encoder or Part(name=self.kind.ENCODER)
        self.tokens = self._has_tokens(self.encoder)  # which serves all methods alike
        if recipe.train and not self.tokens and probes.named(recipe.probe).takes == "layers":
            raise UsageError(
                f"--probe {recipe.probe} reads the blocks of a transformer, which {self.encoder.name} is not"
            )
        if not self.tokens and any(registry.method_class(own.method).needs_tokens for own in entrants.values()):
            self.token_encoder = recipe.token_encoder or Part(name=self.kind.TOKEN_ENCODERS[0])
            if not self._has_tokens(self.token_encoder):
                raise UsageError(f"--token-encoder cannot be {self.token_encoder.name}: it does not work on tokens")

    def samples(self, seed: int) -> Samples:
        """The data, open; a limit draws another subset for each seed."""
        return self._opened(seed if self.recipe.limit else 0)

    def _open(self, seed: int) -> Samples:
        values = self.recipe.handed_on() | {"seed": seed, "fingerprint": None if seed else self.recipe.fingerprint}
        return open_data(Pretrain.parse(values), self.stop)

    def _has_tokens(self, part: Part) -> bool:
        with torch.device("meta"):
            return isinstance(self.kind.build_encoder(part, self.kind.guess(self.recipe.size, part)), TokenEncoder)

    def judging(self, run: str, seed: int, test: bool) -> Evaluate:
        """How a run is judged: on the test data, or on folds of the training data."""
        both = Evaluate.model_fields.keys() & Compare.model_fields.keys() - {*Evaluate.marked(Mark.ONE_RUN)}
        values = {name: getattr(self.recipe, name) for name in both} | {"run": run, "repeats": 1, "seed": seed}
        return Evaluate.parse(values if test else values | dict.fromkeys(("test", "test_labels", "test_groups")))

    def carry_out(self, folder: Path) -> Comparison:
        """All rungs; what is in the folder already is not done again."""
        self.folder, self.runs = folder, read_runs(folder / ROWS)
        # What earlier runs were measured by all are, or they could not be compared.
        earlier = next((row.measure for ran in self.runs for row in ran.judged), self.measure.of)
        self.measure = replace(self.measure, of=earlier)
        left = list(self.entrants)
        rounds = plan(len(left), self.recipe.rungs)
        seconds = sum(count * share for count, share in rounds) * (self.recipe.budget or 0) * self.recipe.seeds
        said = f", at most {duration(seconds)} of training and the judging on top" if seconds else ""
        say(f"compare  {len(left)} methods, {self.recipe.seeds} seed(s), {len(rounds)} rung(s){said}")
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
            for seed in range(self.recipe.seeds):
                for method in rung.methods:
                    self._once(method, seed, rung)
                    self._write("running")
            left = list(estimates(self.runs, number, self.measure, held_out=True))
            rung.kept += left[: rounds[number][0]] if number < len(rounds) else []
        comparison = self._write("done")
        if not comparison.ranking:
            first = comparison.failed[0]
            error = SelftaughtError(f"every method failed; {first.method}: {first.reason}")
            error.exit_code = first.exit_code
            raise error
        return comparison

    def _once(self, method: str, seed: int, rung: Rung) -> None:
        """One run and its line, unless it has one."""
        if any((ran.method, ran.seed, ran.rung) == (method, seed, rung.rung) for ran in self.runs):
            return
        self.stop.poll()
        say(f"\n{method}, seed {seed}, rung {rung.rung}")
        entrant = self.entrants[method]
        name = f"runs/{entrant.folder}-seed{seed}-rung{rung.rung}"
        needs_tokens = registry.method_class(entrant.method).needs_tokens
        encoder = self.token_encoder if needs_tokens else self.encoder
        row: dict[str, Any] = {
            "method": method,
            "seed": seed,
            "rung": rung.rung,
            "run": name,
            "settings": entrant.settings,
        }
        row |= {"encoder": encoder, "tokens": needs_tokens or self.tokens}
        try:
            run = self._train(entrant, encoder, seed, rung, self.folder / name)
            row |= training_of(run) | self._judge(run, seed)
            ran = Ran(state="done", **row)
        except Interrupted:
            raise
        except Exception as error:
            if is_of_the_disk(error):  # the next run would not fare better
                raise
            code = 5 if is_out_of_memory(error) else getattr(error, "exit_code", 1)
            reason = str(error) if isinstance(error, SelftaughtError) else f"{type(error).__name__}: {error}"
            say(f"failed   {method}: {reason}")
            ran = Ran(state="failed", reason=" ".join(reason.split()), exit_code=code, **row)
        self.runs.append(ran)
        append_line(self.folder / ROWS, ran.model_dump_json())
        if ran.state == "done":  # the encoder stays; nothing goes on from here
            run.remove_checkpoints()

    def _train(self, entrant: Entrant, encoder: Part, seed: int, rung: Rung, out: Path) -> RunFolder:
        length = {"budget": rung.budget} if rung.budget else {"epochs": rung.epochs}
        own = {**entrant.recipe(), "encoder": encoder, "seed": seed, "out": out}
        own |= {"checkpoint_every": "60s", "map": 0}  # a map would take from the method's time
        command = Pretrain.parse({**self.recipe.handed_on(), **own, **length, "resume": RunFolder(out).exists()})
        return pretrain(command, opened=self.samples(seed))

    def _judge(self, run: RunFolder, seed: int) -> dict[str, Any]:
        """Accuracies of a run on folds, where these choose who goes on and who leads, and as they are reported."""
        if not self.recipe.train:
            if worth(run.status["health"], self.measure.name) == -math.inf:
                raise DataError(f"no {self.measure.name} can be taken of its features; they may have collapsed")
            return {}
        results: dict[str, Any] = {}
        for name, test in [("held_out", False)] * bool(self.recipe.test) + [("judged", True)]:
            recipe = self.judging(str(run.folder), seed, test)
            result = evaluate(recipe, None, self._baselines(name, run.recipe.encoder, seed), self.measure.of)
            if result.unkept:
                say(f"warning: {result.unkept}")
            results |= {name: result.rows, "tested": result.test_samples or result.train_samples}
        return results

    def _baselines(self, name: str, encoder: Part | None, seed: int) -> Sequence[Row]:
        """What is known of the same encoder untrained, and of raw pixels, from an earlier run."""
        rows = (getattr(ran, name) for ran in self.runs if (ran.encoder, ran.seed) == (encoder, seed))
        return next((known for known in rows if known), [])

    def _write(self, state: Any) -> Comparison:
        """comparison.json and comparison.html, of what is known by now."""
        recipe = self.recipe
        ranking = ranked(self.runs, self.measure)
        comparison = Comparison(
            **recipe.model_dump(include={"data", "train", "test", "seeds"}),
            out=str(self.folder),
            things=self.kind.THINGS,
            measure=self.measure.name,
            labelled=self.measure.labelled,
            of=self.measure.of,
            labels=str(parse_labels(recipe.labels)[0]),
            rungs=self.rungs,
            machine={"platform": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
            state=state,
            ranking=ranking,
            verdict=verdict(ranking, self.measure, self.kind.THINGS),
            runs=self.runs,
        )
        write_json(self.folder / RESULT, json.loads(comparison.model_dump_json()))
        self.written(comparison, self.folder / PAGE)
        return comparison
