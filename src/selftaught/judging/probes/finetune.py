"""The probe that trains all of the network on the labels, beside one that learns them from scratch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from selftaught.contracts.encoder import Encoder
from selftaught.judging.finetune import ENOUGH, SPARED, Tuning, finetune, scores_of
from selftaught.judging.labelled import Split, spare
from selftaught.judging.probe import ALL_TASKS, Exam, Probe
from selftaught.system.saying import say


def _predict(encoder: Encoder, exam: Exam) -> NDArray[Any]:
    data, split, tuning = exam.data, exam.split, exam.tuning
    if exam.kind == "untrained":
        # What has learnt nothing yet has no layers to spare, and a head on it nothing to begin with.
        tuning = replace(tuning, layer_decay=1.0, frozen=0.0)
    seed = exam.seed + split.repeat
    learnt, held = spare(data, split.train, tuning.spared(len(split.train)), seed)
    how: dict[str, Any] = {"held": held, "tuning": tuning, "seed": seed}
    model = finetune(encoder, data, learnt, **how, progress=lambda done, total: exam.report(done / total))
    return model.aim.said(scores_of(model, data.subset(split.test)))


def _announce(splits: Sequence[Split], tuning: Tuning, fits: int) -> None:
    most = max(len(split.train) for split in splits)
    steps = tuning.steps(tuning.per_epoch(most))
    rounds = {split.repeat for split in splits}
    fewer = ["--test"] * (len(splits) > len(rounds)) + ["--repeats 1"] * (len(rounds) > 1)  # of folds, and of draws
    way = f"; there are fewer with {' or '.join(fewer)}" if fewer else ""
    say(f"fine-tuning: {fits:,} networks, each trained for up to {steps:,} steps{way}")
    tuning.warn_of_few_passes(most)
    if tuning.names_patience and not tuning.spared(most):
        idle = f"note: --finetune.patience {tuning.patience} does nothing"
        few = f"of {most:,} labels" + f", fewer than {ENOUGH}," * (tuning.held_out is None)
        way = f"--finetune.held_out {SPARED} holds some out"
        say(f"{idle}: {few} none are held out to choose when to stop; {way}")


PROBE = Probe(
    predict=_predict,
    announce=_announce,
    takes="encoder",
    priority=2,
    work="fine-tuning",
    tasks=ALL_TASKS,
    by_chance=True,
    untrained="scratch",
)
