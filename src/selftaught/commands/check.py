"""Looking at somebody's data before training: what is in it, and what a run would choose and take."""

from pathlib import Path

from selftaught.contracts import modality
from selftaught.contracts.findings import Findings
from selftaught.run.recipes import Check, Pretrain
from selftaught.run.ways import note_size, ways
from selftaught.system import clock, outputs, written
from selftaught.system.errors import BrokenData, DataError
from selftaught.system.interruption import Stop, stopping
from selftaught.system.progress import Progress
from selftaught.system.quarantine import HEADER, write_quarantine
from selftaught.system.text import filesize
from selftaught.training.measuring.forecast import forecast
from selftaught.training.resolve import preflight

PAGE, LIST = written.page("findings", "selftaught check"), written.table(HEADER)
KINDS: dict[str, outputs.Kinds] = {"--out": {".html": PAGE}, "--files": {".csv": LIST}}


def check(recipe: Check) -> Findings:
    """Inspect all of the data, predict a run, and write the page and the list that were asked for."""
    outputs.refuse_taken({"--out": recipe.out, "--files": recipe.files}, recipe.overwrite, KINDS)
    command = Pretrain.parse(recipe.handed_on())
    preflight(command, None)
    kind = modality.of(recipe.data)
    began = clock.now()
    with stopping(recipe.time_limit) as stop:
        with Progress("checking", 0, kind.THINGS) as bar:
            findings: Findings = kind.inspect(
                recipe.data,
                limit=recipe.limit,
                seed=recipe.seed,
                workers=recipe.workers,
                tolerance=recipe.tolerance,
                label_column=recipe.label_column,
                column=recipe.column,
                **ways(recipe, kind),
                progress=bar.polled(stop.poll),
                **({"metadata": recipe.metadata} if recipe.metadata else {}),
            )
        note_size(recipe, kind)
        seconds = clock.now() - began
        if findings.usable:
            _predict(findings, command, seconds, stop)
    if recipe.files:
        with outputs.brought(Path(recipe.files), "--files", recipe.overwrite, LIST) as temporary:
            write_quarantine(temporary, findings.files())
    if recipe.out:
        from selftaught.reporting.check_page import write_page

        with outputs.brought(Path(recipe.out), "--out", recipe.overwrite, PAGE) as temporary:
            write_page(findings, temporary)
    return findings


def _predict(findings: Findings, command: Pretrain, seconds: float, stop: Stop) -> None:
    """Fill in what a run would choose and take, where one would start."""
    # Of a subset that was looked at, the share of broken samples stands for that of all.
    whole = round(findings.count * (1 - len(findings.broken) / findings.checked))
    try:
        findings.suggested, findings.forecast = forecast(command, whole, findings.decoded, stop)
    except BrokenData as error:
        findings.notes.append(f"nothing could be predicted: {error.summary}")
        return
    except DataError as error:
        findings.usable, findings.problems = False, [*findings.problems, str(error)]
        return
    findings.forecast.reading_seconds = round(seconds * findings.count / findings.checked, 1)
    if findings.forecast.run_bytes > findings.forecast.free_bytes:
        needed, free = filesize(findings.forecast.run_bytes), filesize(findings.forecast.free_bytes)
        findings.notes.append(f"a run folder of {needed} does not fit the {free} that are free here")


def refusal(findings: Findings) -> DataError | None:
    """What to end with where the data cannot be used as it is."""
    return None if findings.usable else DataError(f"{findings.data} cannot be used: {'; '.join(findings.problems)}")
