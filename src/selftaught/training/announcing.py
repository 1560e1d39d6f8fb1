"""What a run says of itself before its first step: in its folder, and aloud."""

import torch

from selftaught.contracts import modality
from selftaught.contracts.encoder import batch_norms
from selftaught.run.codes import write_codes
from selftaught.run.digests import write_digests
from selftaught.run.export import save_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.quantities import ALL, NONE
from selftaught.system import processes
from selftaught.system.files import spared
from selftaught.system.saying import say
from selftaught.system.text import number_of, printable, rounded
from selftaught.training.adapting import count_weights
from selftaught.training.broken import describe_data
from selftaught.training.few import advice
from selftaught.training.job import Job
from selftaught.training.looking.features import norms_of
from selftaught.training.optimizers import rate_at, scaled_lr
from selftaught.training.own_views import in_words as own_in_words
from selftaught.training.starting import in_words, teacher_of


def describe(job: Job, run: RunFolder, over: bool = False) -> None:
    """Write what the run is made of and with; only once its recipe is there can it be resumed.

    over: whether it was made already, and so with what is noted.
    """
    samples, preparation = job.samples, job.samples.preparation
    aside = modality.named(preparation.modality).ASIDE
    job.recipe.save(run.folder / "recipe.yaml")
    describe_data(job, run)
    if (digests := samples.digests()) is not None:
        write_digests(run.folder, digests)
    if samples.guidance:
        write_codes(run.folder, samples.guidance.codes)
    if job.onlooker:
        job.onlooker.begin(run.folder)
    if over and (run.folder / "environment.json").exists():
        return
    run.write_environment(
        device=str(job.engine.device),
        processes=processes.hosts(),
        threads=torch.get_num_threads(),
        preparation={name: value for name, value in preparation.model_dump(mode="json").items() if name not in aside},
    )


def keep_initial(job: Job, run: RunFolder) -> None:
    """Write the encoder as the run begins with it: what was learnt before is nothing that the run may boast of."""
    about = {"method": None, "step": 0, "samples": 0, "init": job.recipe.init}
    with spared("the encoder that the run begins with"):
        job.renew()
        save_encoder(job.shown.encoder, job.recipe.encoder, job.samples.preparation, run.folder / "initial", about)


def announce(job: Job, run: RunFolder, start: int) -> None:
    """Say what is trained, on what and how; `start`: the last step that is done."""
    recipe, samples, preset = job.recipe, job.samples, job.training
    every, few = count_weights(job.method.encoder)
    whole, learnt = in_millions(every), in_millions(few)
    lr = scaled_lr(preset, recipe.batch_size)
    things = modality.named(samples.preparation.modality).THINGS
    say(f"data     {samples.count:,} {things} {samples.preparation.in_words()}")
    for note in samples.notes:
        say(f"         {note}")
    for line in () if start else advice(recipe, modality.named(samples.preparation.modality), samples.count):
        say(f"so far   {line}")
    if recipe.teacher:
        say(f"teacher  {teacher_of(recipe, samples.preparation).line}")
    if recipe.preset == "warm":
        say(f"warm     {in_words(preset)}")
    if recipe.normalise == "init":
        say(f"         normalised as {printable(recipe.init)} knows it; --normalise data takes the data's own mean")
    if recipe.statistics == "init" and batch_norms(job.method.encoder):
        say("         batch norms keep the statistics they come with; --statistics data learns them anew")
    if samples.quarantined:
        say(f"         {len(samples.quarantined)} not usable, listed in {run.folder / 'quarantine.csv'}")
    if job.onlooker:
        say(f"watch    {job.onlooker.about}")
    if samples.own:
        say(f"views    {own_in_words(samples.own)}")
    for line in samples.guidance.lines if samples.guidance else ():
        say(line)
    also = f" and {recipe.also}" if recipe.also else ""
    say(f"method   {recipe.method.name}{also} on {recipe.encoder.name}, {whole} M weights ({job.weights})")
    if recipe.adapt != ALL:
        part = f"{learnt} of {whole}" if few != every else f"all {whole}"
        say(f"         --adapt {recipe.adapt}: {part} M weights learn")
    if left := job.shown.encoder.left_out:
        say(f"         a feature ends with {left:,} numbers by patches of the data itself, which nothing trains")
    say(
        f"training {number_of(recipe.steps, 'step')} of {recipe.batch_size} "
        f"({rounded(recipe.steps / job.batches.steps_per_epoch)} epochs), {preset.optimizer}, "
        f"lr {lr:.3g}, {recipe.way} on {job.engine.device}"
    )
    if not any(rate_at(preset, step / recipe.steps) for step in range(1, recipe.steps + 1)):
        say("         the schedule has a rate of 0 in each of them, so the encoder learns nothing: take more steps")
    if (count := processes.count()) > 1:
        shared = "" if recipe.shard == NONE else f"; weights are spread over {recipe.shard}"
        each = recipe.batch_size // count
        say(f"         by {count} processes, {each} samples each; batch norm: {recipe.norm}{shared}")
    if recipe.encode_chunk and norms_of(job.method):
        say(
            f"         batch norm sees {recipe.encode_chunk} samples of a device at a time at most, not the whole batch"
        )
    if preset.optimizer != (own := job.method.preset).optimizer:
        say(
            f"         {preset.optimizer}: lr {preset.lr:g} per 256 samples, weight decay {preset.weight_decay:g} "
            f"(the method's own {own.optimizer}: {own.lr:g} and {own.weight_decay:g})"
        )
    say(f"run      {printable(run.folder)}")


def in_millions(count: int) -> str:
    """A number of weights as a share of a million, with two digits where it is small."""
    return f"{count / 1e6:.1f}" if count >= 1e5 or not count else f"{count / 1e6:.2g}"
