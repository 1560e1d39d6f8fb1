"""Pre-training, start to finish: from a recipe to a run folder with an encoder in it."""

from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.samples import Samples
from selftaught.methods import registry
from selftaught.run import checkpoint, steps
from selftaught.run.export import encoder_about
from selftaught.run.folder import RunFolder, fresh_folder
from selftaught.run.layout import LOG
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system import clock, processes, randomness
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.components import options_of
from selftaught.system.context import IN_PYTHON
from selftaught.system.devices import device_of
from selftaught.system.errors import CompanionError, DataError, OutOfMemory, SelftaughtError, Unreachable, UsageError
from selftaught.system.files import spared
from selftaught.system.interruption import Stop, stopping
from selftaught.system.lock import only_writer
from selftaught.system.ownership import refuse_inside
from selftaught.system.saying import quietly, say, writing_to
from selftaught.training.announcing import announce, describe, keep_initial
from selftaught.training.beginning import as_it_was, begun, refuse_over, took, was_done
from selftaught.training.by_device import chosen_by_device
from selftaught.training.following import Fellow, Follower
from selftaught.training.guidance import told
from selftaught.training.handshake import opened_by_all, refuse_unlike
from selftaught.training.hooks import Hooks
from selftaught.training.job import Job, predicted_bytes, prepare
from selftaught.training.loggers import Loggers
from selftaught.training.looking.choice import SettledError
from selftaught.training.measuring.budget import CORRECTED_AT, Pace
from selftaught.training.measuring.spreading import kept
from selftaught.training.onlooker import Invited, nobody
from selftaught.training.own_methods import recognised
from selftaught.training.own_views import refuse_unknown
from selftaught.training.planning import planned_by_all
from selftaught.training.presets import as_begun
from selftaught.training.resolve import preflight
from selftaught.training.starting import keeping, normalised, taking_over, taught
from selftaught.training.usual import chosen_as_usual

NO_HOOKS = Hooks()
GOES_ON = "add --resume to go on"


def pretrain(
    command: Pretrain,
    module: nn.Module | None = None,
    opened: Samples | None = None,
    invited: Invited = nobody,
    hooks: Hooks = NO_HOOKS,
) -> RunFolder:
    """Carry out a recipe. `module` is the user's own network, where the recipe's encoder is "own".

    `opened` is its data where that is open already; a time budget then pays for training alone. `invited` says who
    looks on, and `hooks` who hears of steps.
    """
    on_gpu = device_of(command.device).type == "cuda"
    with processes.joined(on_gpu, command.compile), nullcontext() if processes.leads() else quietly():
        return _pretrain(command, module, opened, invited, hooks)


def _pretrain(
    command: Pretrain, module: nn.Module | None, opened: Samples | None, invited: Invited, hooks: Hooks
) -> RunFolder:
    began = clock.now()
    refuse_unlike(command)
    processes.led(lambda: _refuse_occupied(command))
    kind = modality.named(opened.preparation.modality) if opened else modality.of(command.data)
    saved = _saved_recipe(command, kind)
    recipe = kept(as_begun(command, saved).continued(saved), command) if saved else command
    recipe = keeping(taking_over(recipe, kind), kind, module)
    recipe = recognised(recipe, [recipe.method.name])
    way = "no run with it can go on: start anew without it, in another --out"
    with options_of(Path(str(recipe.out)) / "recipe.yaml", way) if saved else nullcontext():
        preflight(recipe, module, kind)
    refuse_unknown(hooks.views, recipe.own_views, registry.method_class(recipe.method.name).views)
    loggers = Loggers(recipe.logger)
    keep_freed_memory()
    with stopping(recipe.time_limit) as stop:
        samples = opened or _opened(recipe, stop, _begun_with(recipe) if saved else None)
        samples.own = hooks.views
        recipe = told(taught(normalised(recipe, samples, kind), samples), samples)
        onlooker = invited(recipe, samples) if processes.leads() else None
        plan, pace = planned_by_all(recipe, samples, stop, module, None if opened else began)
        chosen = chosen_by_device(recipe, plan.encoder, samples, device_of(recipe.device).type)
        samples.notes = [*samples.notes, *chosen, *chosen_as_usual(recipe, plan, samples.count)]
        job = prepare(plan, samples, module)
        job.method.refuse_batch(plan.batch_size)
        job.onlooker, job.hooks = onlooker, hooks
        named = f"{samples.name}-{plan.method.name.removeprefix(IN_PYTHON)}"
        run = RunFolder(processes.led(lambda: plan.out or str(fresh_folder(named))), module)
        processes.publish("folder", str(run.folder))
        with randomness.drawn_by(plan.draws):
            if processes.leads():
                _lead(job, run, stop, pace, loggers)
            else:
                _accompany(job, run, stop, pace)
    return run


def _refuse_occupied(command: Pretrain) -> None:
    if command.out:
        if command.overwrite and not command.resume:
            refuse_inside(Path(command.out), _read(command))
        run = RunFolder(command.out)
        run.refuse_existing(command.resume, command.overwrite)
        if command.resume:
            refuse_over(run)


def _lead(job: Job, run: RunFolder, stop: Stop, pace: Pace, loggers: Loggers) -> None:
    """Train, and be the one who writes and speaks."""
    recipe = job.recipe
    kept = checkpoint.KEEP + (recipe.choose != "last")
    checkpoint.refuse_small_disk(run.checkpoints, *predicted_bytes(job), keep=kept)
    owned = run.claimed(recipe.resume, recipe.overwrite)
    told = loggers.told_the_end(run), job.hooks.told_the_end(run)
    with owned, writing_to(run.folder / LOG), told[0], told[1], run.working() as result, processes.explained():
        result |= _train(job, run, stop, pace, loggers)


def _accompany(job: Job, run: RunFolder, stop: Stop, pace: Pace) -> None:
    """Train as the leader does, which writes and speaks; where it is lost, the next one says so in its place."""
    try:
        with processes.explained():
            start, saving = begun(job, run)
            orders = {"renew": job.gather, "save": saving.follow, "restore": saving.restore_too}
            with saving, processes.obeying(orders):
                processes.heard()  # that the leader has looked at the network as it begins
                _fit(job, run, pace, Fellow(job, run, stop, start))
                processes.heard()  # that all is written
    except CompanionError as error:
        if error.rank != 0 or processes.rank() != 1:
            raise
        raise _speaking_for_the_leader(run, error) from error


def _speaking_for_the_leader(run: RunFolder, error: CompanionError) -> SelftaughtError:
    """Write down how the run ended, unless the leader has, or lives to do so: it holds the run's lock till then.

    The error that says so, and which step is kept.
    """
    last: SelftaughtError = error
    with suppress(UsageError), only_writer(run.folder), writing_to(run.folder / LOG):
        if run.status.get("state", "running") == "running":
            if error.gone and (saved := checkpoint.steps(run.checkpoints)):
                last = _with_kept(error, steps.order(saved[-1])[0], GOES_ON)
            run.set_status("failed", str(last), last.exit_code)
            say(f"error: {last}")
    return last


def _read(command: Pretrain) -> dict[str, object]:
    """What a command reads, by what it is called."""
    watched = command.watched_by and modality.place_of(command.watched_by)
    labels = {"--watch-labels": watched, "--watch-labels-csv": command.watch_labels_csv}
    named = {"--init": command.init, "--teacher": command.teacher, "--metadata": command.metadata}
    named["--tokenizer"] = command.tokenizer
    return {"DATA": modality.place_of(command.data), **named, **labels}


def _saved_recipe(command: Pretrain, kind: modality.Modality) -> Pretrain | None:
    """The recipe of the run to resume, or None where there is nothing to resume."""
    if not command.resume:
        return None
    if not command.out:
        raise UsageError("--resume needs --out, the run folder to go on with")
    file = Path(command.out) / "recipe.yaml"
    if not file.exists():
        if checkpoint.steps(RunFolder(command.out).checkpoints):
            raise UsageError(f"{command.out} holds checkpoints, but no recipe.yaml that says what of: put it back")
        say(f"nothing to resume in {command.out}: starting at step 0")
        return None
    saved = Pretrain.load(file)
    Plan.refuse_open(saved, file, sized=kind.SIZED)
    return saved


def _opened(recipe: Pretrain, stop: Stop, like: Any) -> Samples:
    """The samples, as a run that goes on was begun with them: prepared `like` that."""
    try:
        return opened_by_all(recipe, stop, like)
    except DataError:
        if not getattr(like, "followed", False):
            raise
        return opened_by_all(recipe, stop, None)  # it lacks a column now, and that it is another is told below


def _begun_with(recipe: Pretrain) -> Any:
    """How a run that goes on prepares its samples, where the data alone might tell it otherwise than when it began.

    It was begun before all was noted by which that is told, or by another version of what learns a tokenizer.
    """
    try:
        about = encoder_about(Path(str(recipe.out)) / "encoder")
        preparation = modality.named(about["modality"]).Preparation(**about["preparation"])
    except (UsageError, KeyError, TypeError, ValueError):  # nothing is exported yet, or it is damaged
        return None
    begun = getattr(preparation, "stored", "") is None or getattr(preparation, "learnt", False)
    begun = begun or getattr(preparation, "followed", False)
    return preparation if begun else None


def _train(job: Job, run: RunFolder, stop: Stop, pace: Pace, loggers: Loggers) -> dict[str, Any]:
    """Train from step 0 or from the last checkpoint, and save; the status of the finished run.

    Without a time budget in its pace the number of steps stays as it is.
    """
    before, (start, saving) = run.status, begun(job, run)
    over = was_done(before, start, job.recipe.steps)
    with processes.telling():
        describe(job, run, over)
        if not start and (job.recipe.init or run.module is not None):
            keep_initial(job, run)
        announce(job, run, start)
        loggers.start(run.folder, job.recipe.model_dump(mode="json"), start)
        follower = Follower(job, run, stop, loggers, saving, start, pace)
        at_start: dict[str, Any] = {"chance": follower.looks.chance, **follower.looks.at_start}
        run.set_status("running", **at_start)
    with follower.recorder.at_work(), follower.keeping:
        _fit(job, run, pace, follower)
    over = over and follower.step == start
    with processes.telling():
        totals = follower.finish(over)
    if follower.keeping.stood:
        totals = as_it_was(totals, before)
    return {**totals, **at_start, **(took(before) if over else {})}


def _fit(job: Job, run: RunFolder, pace: Pace, follower: Follower | Fellow) -> None:
    """Train up to the last step, or to where the choice is settled.

    Where a time budget decides the steps, stops on the way correct their number.
    """
    at = follower.step
    batch, settled = job.batches.batch_size, processes.led(lambda: follower.settled)
    how: dict[str, Any] = {"watch": follower, "bad": follower.leave_out, "agreement": follower.agreement}
    try:
        for share in (1.0,) if pace.budget is None else (*CORRECTED_AT, 1.0):
            since, until = clock.now(), round(share * job.recipe.steps)
            if until <= at or settled:
                continue
            with processes.explained():
                job.fit(steps=job.recipe.steps, start=at, until=until, **how)
            took, before, at = clock.now() - since, at, until
            if pace.budget is not None and share < 1:
                follower.keep()  # before the recipe: a run cut between the two goes on with the old plan
                rate = pace.work.of(before, at, job.recipe.steps) / took
                now = partial(pace.corrected, job.recipe.steps, at, rate)
                job.recipe = job.recipe.model_copy(update={"steps": processes.led(now)})
                if processes.leads():
                    with spared("recipe.yaml"):
                        job.recipe.save(run.folder / "recipe.yaml")
    except SettledError:
        choose, patience = job.recipe.choose, job.recipe.patience
        say(f"settled  at step {follower.step:,}: {choose} has not risen for {patience} looks")
    except (OutOfMemory, Unreachable, CompanionError) as error:
        passing = error.exit_code in (OutOfMemory.exit_code, Unreachable.exit_code) or getattr(error, "gone", False)
        if passing and isinstance(follower, Follower):
            raise _cut_short(error, follower, batch) from error
        raise


def _cut_short(error: SelftaughtError, follower: Follower, batch: int) -> SelftaughtError:
    """What to say of a step that lacked memory, samples or a process; the one before is saved, where that can be."""
    kept = follower.step if follower.rescue() else follower.keeping.saved
    way = GOES_ON
    if error.exit_code == OutOfMemory.exit_code:
        smaller = f"--batch-size {batch // 2} or --encode-chunk {batch // 4}"
        way = f"free some memory and add --resume, or start anew with {smaller}"
    return _with_kept(error, kept, way)


def _with_kept(error: SelftaughtError, kept: int, way: str) -> SelftaughtError:
    """The error, which also says what step is kept, and how to go on from there."""
    words = f"{error}; step {kept:,} is kept: {way}"
    if isinstance(error, CompanionError):
        return CompanionError(words, error.rank, error.exit_code, error.gone)
    return OutOfMemory(words) if isinstance(error, OutOfMemory) else type(error)(words)
