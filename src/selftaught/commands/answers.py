"""What a command answers: JSON, or what people read in its place, and lines on what was written."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from selftaught.run import recipes
from selftaught.run.folder import RunFolder
from selftaught.run.quantities import HUB
from selftaught.run.recipes.fields import Recipe
from selftaught.system.errors import SelftaughtError
from selftaught.system.printing import printer
from selftaught.system.saying import say
from selftaught.system.standard import drop_output
from selftaught.system.text import filesize, printable


@dataclass(frozen=True)
class Answer:
    """What is printed of a result."""

    json: Any
    shown: Sequence[Any] = ()  # on standard output where no JSON is wanted: text, what rich prints, or what prints
    lines: Sequence[str] = ()  # on standard error, always
    error: SelftaughtError | None = None  # which ends the command, once it has answered

    def give(self, as_json: bool) -> None:
        """Print it. Raises its error."""
        try:
            self._print(as_json)
            sys.stdout.flush()  # of a command that goes on, too, somebody reads it now
        except BrokenPipeError:  # whoever read has had enough, and the work is done
            drop_output()
        for line in self.lines:
            say(line)
        if self.error:
            raise self.error

    def _print(self, as_json: bool) -> None:
        if as_json:
            sys.stdout.write(json.dumps(self.json, indent=2, allow_nan=False) + "\n")
        for item in () if as_json else self.shown:
            if isinstance(item, str):  # names may hold what rich would take for markup
                click.echo(item)
            else:
                item() if callable(item) else printer().print(item)


def _wrote(*files: Path | str | None) -> list[str]:
    """A line on each file, or folder, that there is now."""
    return [f"wrote {printable(file)}" for file in files if file]


# From here on each function has the name of the command whose result it answers.


def preview(recipe: Recipe, file: Path) -> Answer:
    return Answer({"out": str(file)}, lines=_wrote(file))


report = preview


def check(recipe: recipes.Check, result: Any) -> Answer:
    from selftaught.commands.check import refusal
    from selftaught.reporting.check_page import show

    files = _wrote(recipe.out, recipe.files)
    return Answer(result.as_json(), [partial(show, result)], files, refusal(result))


def pack(recipe: recipes.Pack, made: Any) -> Answer:
    from selftaught.system.text import filesize

    broken, tars = len(made.left_out) - made.duplicates, f"{len(made.shards):,} tars ({filesize(made.bytes)})"
    sums = {"samples": made.samples, "shards": len(made.shards), "bytes": made.bytes, "sha256": made.sha256}
    counts = {"duplicates": made.duplicates, "broken": broken}
    told = {"duplicates": "images are duplicates", "broken": "images are broken"}
    left = [f"{count:,} {told[why]} and left out: manifest.json lists them" for why, count in counts.items() if count]
    lines = [*made.notes, *left, f"packed {made.samples:,} images as {tars} in {printable(recipe.out)}"]
    return Answer({"out": recipe.out, **sums, **counts, "notes": made.notes}, lines=lines)


def plan(recipe: recipes.Planning, outlook: Any) -> Answer:
    from selftaught.reporting.outlook import table

    return Answer(outlook.as_json(), [table(outlook)])


def pretrain(recipe: recipes.Pretrain, run: RunFolder) -> Answer:
    status = run.status
    keys = ("steps", "chosen_step", "samples_per_second", "seconds", "final_terms", "health")
    beside = {key: status[key] for key in ("measures", "watched") if status.get(key)}
    return Answer({"run": str(run.folder), **{key: status.get(key) for key in keys}, **beside})


def evaluate(recipe: recipes.Evaluate, result: Any) -> Answer:
    from selftaught.judging.classwise import worst
    from selftaught.judging.printed import table
    from selftaught.judging.result import choices

    lines = [table(result), *filter(None, [worst(result)]), *choices(result), result.verdict]
    return Answer(result.model_dump(mode="json"), lines, error=result.unkept)


def compare(recipe: recipes.Compare, result: Any) -> Answer:
    from selftaught.judging.ranking import notes, table

    page = f"the page: {printable(Path(result.out) / 'comparison.html')}"
    # By way of text, since the scores of a failed run may be no numbers, which JSON has as null.
    return Answer(json.loads(result.model_dump_json()), [table(result), *notes(result), result.verdict, page])


def finetune(recipe: recipes.Finetune, metrics: dict[str, Any]) -> Answer:
    from selftaught.judging.marks import in_words

    return Answer({"classifier": recipe.out, **metrics}, lines=[in_words(metrics), *_wrote(recipe.out)])


def predict(recipe: recipes.Predict, result: Any) -> Answer:
    sums = {"samples": len(result.keys), "quarantined": len(result.quarantined), "counts": result.counts()}
    sums |= {"task": result.meaning.task} | ({"values": result.range()} if result.values is not None else {})
    lines = _wrote(recipe.out)
    if done := result.sorting:
        sums["sorted"] = {"folder": done.folder, "counts": done.counts, "undecided": done.undecided}
        left = f", {done.undecided:,} are undecided" if done.undecided else ""
        lines.append(f"sorted {sum(done.counts.values()):,} files into {printable(done.folder)}{left}")
    return Answer({"classifier": recipe.classifier, "out": recipe.out, **sums}, lines=lines)


def embed(recipe: recipes.Embed, file: Path) -> Answer:
    return Answer({"run": recipe.run, "out": str(file)}, lines=_wrote(file))


def select(recipe: recipes.Select, found: Any) -> Answer:
    from selftaught.system.text import spelled

    chosen = [{**fact, "path": spelled(fact["path"])} for fact in found.facts()]
    about = {"run": recipe.run, "data": recipe.data, "by": recipe.by, "out": recipe.out, "page": recipe.page}
    about |= {"samples": found.data.samples.count, "labelled": found.labelled, "like_labelled": found.like_labelled}
    files = _wrote(recipe.out, recipe.page)
    return Answer({**about, "chosen": chosen}, lines=files)


def label(recipe: recipes.Label, address: str) -> Answer:
    return Answer({"url": address}, lines=[f"labelling at {address} (Ctrl-C ends it)"])


def find(recipe: recipes.Find, found: Any) -> Answer:
    from selftaught.commands.find import lines
    from selftaught.system.text import spelled

    alike = [{**fact, "path": spelled(fact["path"]), "like": spelled(fact["like"])} for fact in found.facts()]
    about = {"run": recipe.run, "data": recipe.data, "samples": found.samples.count, "index": recipe.index}
    about |= {"out": recipe.out, "page": recipe.page}
    files = _wrote(recipe.out, recipe.page)
    return Answer({**about, "found": alike}, lines(found), files)


def odd(recipe: recipes.Odd, found: Any) -> Answer:
    from selftaught.commands.odd import lines
    from selftaught.system.text import spelled

    told = [{name: spelled(x) if isinstance(x, str) else x for name, x in fact.items()} for fact in found.facts]
    about = {"run": recipe.run, "data": recipe.data, "samples": found.data.samples.count, "counts": found.counts()}
    about |= found.of_labels()
    about |= {"labelled": len(found.labels.rows) if found.labels else 0, "out": recipe.out, "page": recipe.page}
    files = _wrote(recipe.out, recipe.page)
    return Answer({**about, "odd": told}, lines(found), files)


def export(recipe: recipes.Export, result: Any) -> Answer:
    if recipe.to.startswith(HUB):
        return _of_hub(recipe, result)
    file, deviation = result
    line = f"wrote {printable(file)}; its outputs differ from the network's by at most {deviation:.2g} of their range"
    return Answer({"run": recipe.run, "out": str(file), "deviation": deviation}, lines=[line])


def _of_hub(recipe: recipes.Export, sent: Any) -> Answer:
    files = [f"  {name}  {filesize(size)}" for name, size in sent.files.items()]
    lines = [f"wrote {printable(sent.folder)}; look through README.md and config.json, which others will read:", *files]
    if sent.uploaded:
        lines.append(f"sent to {sent.url}; a repository that is new is private, until you make it public there")
    else:
        there = f"the model {sent.repo} of the Hub, where they replace those of their names"
        lines.append(f"nothing was sent: --upload sends these files to {there}")
    return Answer({"run": recipe.run, **sent.json}, lines=lines)


def watch(recipe: recipes.Watch, address: str) -> Answer:
    return Answer({"url": address}, lines=[f"watching at {address} (Ctrl-C ends it)"])


def methods(recipe: recipes.Methods, described: list[dict[str, Any]]) -> Answer:
    from selftaught.commands.listing import methods_table

    return Answer(described, [methods_table(described)])


def encoders(recipe: recipes.Encoders, names: list[str]) -> Answer:
    return Answer(names, ["\n".join(names)])
