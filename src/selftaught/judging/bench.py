"""One run of a comparison: a method trained and judged by the settings that all have."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.contracts.samples import Samples
from selftaught.judging import probe as probes
from selftaught.judging.comparison import Ran, Rung, training_of
from selftaught.judging.entrants import Entrant
from selftaught.judging.evaluate import evaluate
from selftaught.judging.idle import OF_FEATURES
from selftaught.judging.result import Row
from selftaught.judging.shown import AUTO
from selftaught.methods import registry
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Compare, Evaluate, Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.run.recipes.shared_fields import Score
from selftaught.system.components import Part
from selftaught.system.devices import device_of
from selftaught.system.errors import (
    DataError,
    Interrupted,
    SelftaughtError,
    UsageError,
    is_of_the_disk,
    is_out_of_memory,
)
from selftaught.system.interruption import Stop
from selftaught.system.saying import say
from selftaught.training.beginning import is_over
from selftaught.training.looking.scores import worth
from selftaught.training.pretrain import pretrain
from selftaught.training.resolve import open_data
from selftaught.training.starting import taught, without
from selftaught.training.views import options_of

Known = dict[str, list[Row]]  # held_out and judged: of what stands beside, as another run has found it


class Order(BaseModel):
    """A run that a comparison wants, as plain data: another process may carry it out."""

    recipe: Compare
    folder: str  # of the comparison
    about: dict[str, Any]  # of the run, as `Ran` has it, before anything has come of it
    rung: Rung
    measure: str  # what accuracies are, see `Ran`
    known: Known = {}

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.about['method']}, seed {self.about['seed']}, rung {self.rung.rung}"

    def failed(self, reason: str, code: int) -> Ran:
        """The line of a run that came to nothing."""
        return Ran(state="failed", reason=" ".join(reason.split()), exit_code=code, **self.about)


class Bench:
    """Trains and judges the runs of one comparison, each by the same settings."""

    def __init__(self, recipe: Compare, entrants: dict[str, Entrant], stop: Stop) -> None:
        self.recipe, self.entrants, self.stop = recipe, entrants, stop
        self.kind = modality.of(recipe.data)
        given = Pretrain.parse(recipe.handed_on(), saved=True)
        options_of(given, self.kind, ())  # refuses once what every run would refuse
        self._opened = lru_cache(maxsize=1)(self._open)
        self.chosen: list[str] = []  # what is to be said of what nobody has named
        self.device = device_of("auto").type
        if recipe.fingerprint and recipe.encoder is None and self.device == "cpu":
            self.device = "mps"  # as it was when comparisons did not note what they had chosen
        usual = self.kind.usual_encoder(self.device)
        self.encoder = self.token_encoder = self._had(recipe.encoder or Part(name=usual))
        self.tokens = self._has_tokens(self.encoder)  # which serves all methods alike
        if recipe.train and not self.tokens and probes.named(recipe.probe).takes == "layers":
            raise UsageError(
                f"--probe {recipe.probe} reads the blocks of a transformer, which {self.encoder.name} is not"
            )
        if not self.tokens and any(registry.method_class(own.method).needs_tokens for own in entrants.values()):
            self.token_encoder = self._had(recipe.token_encoder or Part(name=self.kind.TOKEN_ENCODERS[0]))
            if not self._has_tokens(self.token_encoder):
                raise UsageError(f"--token-encoder cannot be {self.token_encoder.name}: it does not work on tokens")

    @property
    def score(self) -> Score:
        """What ranks without labels; where nobody says, what has misled least, see docs/results/label_free.md."""
        return self.recipe.score or ("alignment" if self.tokens or self.token_encoder != self.encoder else "rankme")

    def samples(self, seed: int) -> Samples:
        """The data, open; a limit draws another subset for each seed."""
        return self._opened(seed if self.recipe.limit else 0)

    def taught(self, samples: Samples) -> str | None:
        """The fingerprint of the teacher, if there is one. Raises UsageError where it is not what this began with."""
        values = self.recipe.handed_on() | {"encoder": self.encoder}
        asked = Pretrain.parse(values | {"teacher_fingerprint": self.recipe.teacher_fingerprint})
        return taught(asked, samples).teacher_fingerprint

    def _open(self, seed: int) -> Samples:
        values = self.recipe.handed_on() | {"seed": seed, "fingerprint": None if seed else self.recipe.fingerprint}
        return open_data(
            Pretrain.parse(values, saved=True), self.stop, device=self.device, beside=self.recipe.out or ""
        )

    def _had(self, part: Part) -> Part:
        """An encoder as runs can have it. Raises UsageError for an option that its network does not have."""
        ignored = self._built(part).ignored
        if ignored and self.recipe.fingerprint is None:  # a comparison that was begun with one goes on without
            raise UsageError(ignored[0][1])
        return without(part, ignored)

    def _has_tokens(self, part: Part) -> bool:
        return isinstance(self._built(part), TokenEncoder)

    def _built(self, part: Part) -> Encoder:
        """An encoder without weights, for what can be told of it."""
        with torch.device("meta"):
            return self.kind.build_encoder(part, self.kind.guess(self.recipe.size, part))

    def judging(self, run: str, seed: int, test: bool) -> Evaluate:
        """How a run is judged: on the test data, or on folds of the training data."""
        both = Evaluate.model_fields.keys() & Compare.model_fields.keys() - {*Evaluate.marked(Mark.ONE_RUN)}
        values = {name: getattr(self.recipe, name) for name in both} | {"run": run, "repeats": 1, "seed": seed}
        values |= {"devices": "auto"}  # they are for runs: each is judged by the one it has
        if not (test and self.recipe.test):  # of which older comparisons may name labels without it
            values |= dict.fromkeys(("test", "test_labels", "test_groups"))
        if probes.named(self.recipe.probe).takes not in OF_FEATURES:
            values |= {"features": AUTO}
        return Evaluate.parse(values, saved=True)

    def order(self, folder: Path, method: str, seed: int, rung: Rung, measure: str, runs: Sequence[Ran]) -> Order:
        """What a run takes; of what stands beside, `runs` may know already."""
        entrant = self.entrants[method]
        needs_tokens = registry.method_class(entrant.method).needs_tokens
        encoder = self.token_encoder if needs_tokens else self.encoder
        about: dict[str, Any] = {"method": method, "settings": entrant.settings, "seed": seed, "rung": rung.rung}
        about |= {"encoder": encoder, "tokens": needs_tokens or self.tokens}
        about["run"] = f"runs/{entrant.folder}-seed{seed}-rung{rung.rung}"
        known = _known(runs, encoder, seed)
        return Order(recipe=self.recipe, folder=str(folder), about=about, rung=rung, measure=measure, known=known)

    def ran(self, order: Order) -> Ran:
        """What comes of a run; one that fails says why. Raises Interrupted, and what the disk does not take."""
        try:
            run = self._train(order)
            return Ran(state="done", **order.about, **training_of(run), **self._judge(run, order))
        except Interrupted:
            raise
        except Exception as error:
            if is_of_the_disk(error):  # the next run would not fare better
                raise
            code = 5 if is_out_of_memory(error) else getattr(error, "exit_code", 1)
            reason = str(error) if isinstance(error, SelftaughtError) else f"{type(error).__name__}: {error}"
            return order.failed(reason, code)

    def _train(self, order: Order) -> RunFolder:
        rung, seed, out = order.rung, order.about["seed"], Path(order.folder) / order.about["run"]
        run = RunFolder(out)
        if is_over(run):  # a power cut may take the line that says so, and leave its checkpoints removed
            return run
        own = {**self.entrants[order.about["method"]].recipe(), "encoder": order.about["encoder"], "seed": seed}
        own |= {"budget": rung.budget} if rung.budget else {"epochs": rung.epochs}
        own |= {"out": out, "checkpoint_every": "60s", "map": 0}  # a map would take from the method's time
        command = Pretrain.parse({**self.recipe.handed_on(), **own, "resume": run.exists()}, saved=True)
        return pretrain(command, opened=self.samples(seed))

    def _judge(self, run: RunFolder, order: Order) -> dict[str, Any]:
        """Accuracies of a run on folds, where these choose who goes on and who leads, and as they are reported.

        What --test has copies of, or others of the group, has no say in what is chosen, or the test set would have one.
        """
        if not self.recipe.train:
            if worth(run.status["health"], self.score) == -math.inf:
                raise DataError(f"no {self.score} can be taken of its features; they may have collapsed")
            return {}
        results: dict[str, Any] = {}
        for name, test in [("held_out", False)] * bool(self.recipe.test) + [("judged", True)]:
            beyond = not test and self.recipe.beyond_test
            recipe = self.judging(str(run.folder), order.about["seed"], test or beyond)
            result = evaluate(recipe, None, order.known.get(name, []), order.measure, beyond)
            if result.unkept:
                say(f"warning: {result.unkept}")
            results |= {name: result.rows, "tested": result.test_samples or result.train_samples}
        return results


def _known(runs: Sequence[Ran], encoder: Part, seed: int) -> Known:
    """What an earlier run has found of the same encoder untrained, and of what needs no network."""
    alike = [ran for ran in runs if (ran.encoder, ran.seed) == (encoder, seed)]
    return {name: next((rows for ran in alike if (rows := getattr(ran, name))), []) for name in ("held_out", "judged")}
