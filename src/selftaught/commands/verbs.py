"""What each verb of the command line does; it is only built, and what it needs only imported, when it is called."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

VERBS = {
    "demo": "Teach two encoders from handwritten digits and judge them, in under three minutes.",
    "check": "Look at data before training: what is broken, double or odd, and what a run takes.",
    "preview": "Draw what a method shows and asks.",
    "pretrain": "Teach an encoder from unlabelled data.",
    "evaluate": "Judge a run beside honest baselines.",
    "compare": "Train several methods with the same budget, and rank them.",
    "finetune": "Make a classifier of a run's encoder and your labels.",
    "predict": "Let a classifier sort new samples.",
    "embed": "Write the features of samples to a file.",
    "export": "Write a run's encoder, or a classifier, as ONNX.",
    "report": "Write one HTML page about one or more runs.",
    "watch": "Show that page in a browser while the runs go on.",
    "methods": "List the methods, by family and kind.",
    "encoders": "List encoders that can be named.",
}


def _check() -> click.Command:
    from selftaught.commands.flags import RecipeCommand
    from selftaught.run.recipes import Check

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.commands.check import check, refuse
        from selftaught.reporting.check_page import show
        from selftaught.system.saying import say

        findings = check(recipe)
        if not as_json:
            show(findings)
        _print_json(findings.as_json(), as_json)
        for file in (recipe.out, recipe.files):
            if file:
                say(f"wrote {file}")
        refuse(findings)

    return RecipeCommand(Check, "data", carry_out)


def _preview() -> click.Command:
    from selftaught.commands.flags import RecipeCommand, of_parts
    from selftaught.run.recipes import Preview

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.reporting.preview import preview
        from selftaught.system.saying import say

        written = preview(recipe)
        say(f"wrote {written}")
        _print_json({"out": str(written)}, as_json)

    return RecipeCommand(Preview, "data", carry_out, of_parts)


def _pretrain() -> click.Command:
    from selftaught.commands.flags import RecipeCommand, of_parts
    from selftaught.run.recipes import Pretrain

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.training.pretrain import pretrain

        run = pretrain(recipe)
        status = run.status
        keys = ("steps", "chosen_step", "samples_per_second", "seconds", "final_terms", "health")
        _print_json({"run": str(run.folder), **{key: status.get(key) for key in keys}}, as_json)

    return RecipeCommand(Pretrain, "data", carry_out, of_parts)


def _evaluate() -> click.Command:
    from selftaught.commands.flags import RecipeCommand, of_finetuning
    from selftaught.run.recipes import Evaluate

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.commands.python import Run

        options = {name: getattr(recipe, name) for name in recipe.model_fields_set - {"run", "train", "test"}}
        evaluation = Run.open(recipe.run).evaluate(recipe.train, recipe.test, **options)
        if not as_json:
            from rich.console import Console

            from selftaught.judging.result import table

            Console().print(table(evaluation))
            click.echo(evaluation.verdict)
        _print_json(evaluation.model_dump(mode="json"), as_json)

    return RecipeCommand(Evaluate, "run", carry_out, of_finetuning)


def _finetune() -> click.Command:
    from selftaught.commands.flags import RecipeCommand, of_finetuning
    from selftaught.run.recipes import Finetune

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.commands.python import Run
        from selftaught.system.saying import say

        options = {name: getattr(recipe, name) for name in recipe.model_fields_set - {"run", "labelled", "out"}}
        metrics = Run.open(recipe.run).finetune(recipe.labelled, recipe.out, **options)
        if metrics["accuracy"] is not None:
            right, half = 100 * metrics["accuracy"], 50 * (metrics["high"] - metrics["low"])
            say(f"accuracy {right:.1f} ± {half:.1f} on {metrics['measured_on']:,} samples that chose nothing")
        else:
            say("too few labels to measure its accuracy; name a --test set for that")
        say(f"wrote {recipe.out}")
        _print_json({"classifier": recipe.out, **metrics}, as_json)

    return RecipeCommand(Finetune, ("run", "labelled"), carry_out, of_finetuning)


def _predict() -> click.Command:
    @click.command(help=VERBS["predict"])
    @click.argument("classifier")
    @click.argument("data")
    @click.option("--out", required=True, metavar="FILE", help="predictions.csv, of path,predicted,probability")
    @click.option("--all", "every", is_flag=True, help="the probability of every class, in a column each")
    @click.option("--limit", type=click.IntRange(1), help="a random subset of this many samples")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def predict(classifier: str, data: str, out: str, every: bool, limit: int | None, as_json: bool) -> None:
        from selftaught.judging.predict import predict as carry_out
        from selftaught.system.saying import say

        said = carry_out(classifier, data, out, every=every, limit=limit)
        counts = said.counts()
        say(f"wrote {out}")
        found = {"samples": len(said.keys), "quarantined": len(said.quarantined), "counts": counts}
        _print_json({"classifier": classifier, "out": out, **found}, as_json)

    return predict


def _compare() -> click.Command:
    from selftaught.commands.flags import RecipeCommand, of_parts
    from selftaught.run.recipes import Compare

    def encoders(chosen: dict[str, str]) -> dict[str, str]:
        found = of_parts({"data": chosen.get("data", "")})
        return {flag: told for flag, told in found.items() if flag.startswith("encoder.")}

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.judging.compare import compare
        from selftaught.reporting.compare_page import write_page

        comparison = compare(recipe, write_page)
        if not as_json:
            from rich.console import Console

            from selftaught.judging.ranking import notes, table

            Console().print(table(comparison))
            for line in [*notes(comparison), comparison.verdict]:
                click.echo(line)
            click.echo(f"the page: {Path(comparison.out) / 'comparison.html'}")
        _print_json(json.loads(comparison.model_dump_json()), as_json)

    return RecipeCommand(Compare, "data", carry_out, encoders)


def _embed() -> click.Command:
    @click.command(help=VERBS["embed"])
    @click.argument("run")
    @click.argument("data")
    @click.option("--out", required=True, metavar="FILE", help="features.npz or features.parquet")
    @click.option("--limit", type=click.IntRange(1), help="a random subset of this many samples")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def embed(run: str, data: str, out: str, limit: int | None, as_json: bool) -> None:
        from selftaught.commands.embed import embed as carry_out
        from selftaught.commands.python import Run
        from selftaught.system.saying import say

        written = carry_out(Run.open(run).folder, data, Path(out), limit=limit)
        say(f"wrote {written}")
        _print_json({"run": run, "out": str(written)}, as_json)

    return embed


def _export() -> click.Command:
    @click.command(help=VERBS["export"])
    @click.argument("run")
    @click.option("--to", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="format")
    @click.option("--out", metavar="FILE", help="default: RUN/encoder/model.onnx")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def export(run: str, to: str, out: str | None, as_json: bool) -> None:
        from selftaught.commands.python import Run
        from selftaught.run.onnx import to_onnx
        from selftaught.system.saying import say

        opened = Run.open(run)
        if (opened.folder / "classifier").is_dir():
            from selftaught.run.classifier import load_classifier

            file = Path(out) if out else opened.folder / "classifier" / "model.onnx"
            deviation = to_onnx(load_classifier(opened.folder), file, "probabilities")
        else:
            file = Path(out) if out else opened.folder / "encoder" / "model.onnx"
            deviation = to_onnx(opened.encoder(), file)
        say(f"wrote {file}; its outputs differ from the network's by at most {deviation:.2g}")
        _print_json({"run": run, "out": str(file), "deviation": deviation}, as_json)

    return export


def _report() -> click.Command:
    @click.command(help=VERBS["report"])
    @click.argument("runs", nargs=-1, required=True, metavar="RUN...")
    @click.option("--out", metavar="FILE", help="default: report.html in the first run's folder")
    @click.option("--labels", metavar="DATA", help="labelled data, or a CSV of path,label, to colour the map with")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def report(runs: tuple[str, ...], out: str | None, labels: str | None, as_json: bool) -> None:
        from selftaught.commands.python import Run
        from selftaught.contracts import modality
        from selftaught.reporting.run_page import write_report
        from selftaught.system.errors import UsageError
        from selftaught.system.saying import say
        from selftaught.system.text import printable

        if out and Path(out).is_dir():
            raise UsageError(f"--out {printable(out)} is a folder; name a file, such as {printable(out)}/report.html")
        opened = [Run.open(run) for run in runs]
        told = modality.of(opened[0].recipe.data).labels_by_key(labels) if labels else {}
        folders = [run.folder for run in opened]
        written = write_report(folders, Path(out) if out else folders[0] / "report.html", labels=told)
        say(f"wrote {written}")
        _print_json({"out": str(written)}, as_json)

    return report


def _watch() -> click.Command:
    from selftaught.commands.flags import RecipeCommand
    from selftaught.run.recipes import Watch

    def carry_out(recipe: Any, as_json: bool) -> None:
        from selftaught.reporting.watch import watch
        from selftaught.system.saying import say

        def listening(address: str) -> None:
            say(f"watching at {address} (Ctrl-C ends it)")
            _print_json({"url": address}, as_json)
            sys.stdout.flush()

        watch(recipe, listening)

    return RecipeCommand(Watch, "runs", carry_out)


def _methods() -> click.Command:
    @click.command(help=VERBS["methods"])
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def methods(as_json: bool) -> None:
        from selftaught.commands.listing import described_methods, methods_table

        if as_json:
            _print_json(described_methods(), True)
        else:
            from rich.console import Console

            Console().print(methods_table())

    return methods


def _encoders() -> click.Command:
    @click.command(help=VERBS["encoders"])
    @click.argument("pattern", default="")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def encoders(pattern: str, as_json: bool) -> None:
        """List encoders whose name contains PATTERN; without one, a few good first choices."""
        from selftaught.commands.listing import encoder_names

        names = encoder_names(pattern)
        if as_json:
            _print_json(names, True)
        else:
            click.echo("\n".join(names))

    return encoders


def _demo() -> click.Command:
    @click.command(help=VERBS["demo"])
    @click.option("--out", default="runs/demo", show_default=True, help="folder for the two runs and the page")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def demo(out: str, as_json: bool) -> None:
        from selftaught.commands.demo import demo as carry_out

        _print_json(carry_out(Path(out)), as_json)

    return demo


def _print_json(value: Any, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


BUILDERS: dict[str, Callable[[], click.Command]] = {
    "demo": _demo,
    "check": _check,
    "preview": _preview,
    "pretrain": _pretrain,
    "evaluate": _evaluate,
    "compare": _compare,
    "finetune": _finetune,
    "predict": _predict,
    "embed": _embed,
    "export": _export,
    "report": _report,
    "watch": _watch,
    "methods": _methods,
    "encoders": _encoders,
}
