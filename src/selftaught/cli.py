"""The command line: one verb a command; flags come from the recipes, dotted flags from the chosen parts."""

import errno
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .errors import SelftaughtError, is_out_of_memory
from .training.interruption import stopping

VERBS = {
    "demo": "Teach two encoders from handwritten digits and judge them, in under three minutes.",
    "check": "Look at data before training: what is broken, double or odd, and what a run takes.",
    "preview": "Draw what a method shows and asks.",
    "pretrain": "Teach an encoder from unlabelled data.",
    "evaluate": "Judge a run beside honest baselines.",
    "compare": "Train several methods with the same budget, and rank them.",
    "finetune": "Make a classifier of a run's encoder and your labels.",
    "predict": "Let a classifier sort new images.",
    "embed": "Write the features of images to a file.",
    "export": "Write a run's encoder, or a classifier, as ONNX.",
    "report": "Write one HTML page about one or more runs.",
    "methods": "List the methods, by family and kind.",
    "encoders": "List encoders that can be named.",
}
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
EPILOG = """Exit codes: 0 done, 1 a bug of ours, 2 usage, 3 data, 4 diverged, 5 out of memory, 75 interrupted and
resumable. With --json, standard output holds JSON alone; everything for people goes to standard error."""


class Verbs(click.Group):
    """The verbs; each is only built, and what it needs only imported, when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            from difflib import get_close_matches

            close = get_close_matches(name, VERBS, n=1)
            raise click.UsageError(
                f"no command {name!r}; " + (f"did you mean {close[0]!r}?" if close else "see selftaught --help")
            )
        return BUILDERS[name]()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="selftaught")
def main_group() -> None:
    """Teach a network from your own unlabelled data, then hand it your few labels.

    \b
    selftaught pretrain photos/ --out runs/photos
    selftaught evaluate runs/photos --train labelled/train --test labelled/test
    """


def _dotted(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of the chosen data, method and encoder, with their help."""
    from . import modality, parts
    from .recipes import Pretrain

    kind = modality.of(chosen.get("data", ""))
    method = parts.method_class(chosen.get("method", Pretrain.model_fields["method"].default.name))
    found = {f"method.{name}": _told(option.default) for name, option in parts.options(method).items()}
    found |= {f"encoder.{name}": _told(option.default) for name, option in parts.options(kind.create).items()}
    found |= {f"training.{name}": _told(default) for name, default in vars(method.preset).items()}
    wanted = dict.fromkeys(view for view in method.views if view not in ("plain", "index"))
    known = kind.view_options()
    for view in [*wanted, *(view for view in known if view not in wanted)]:
        shown = f" (not used by {method.__name__})" if view not in wanted else ""
        found |= {f"views.{view}.{name}": _told(default) + shown for name, default in known[view].items()}
    return found


def _check() -> click.Command:
    from .flags import RecipeCommand
    from .recipes import Check

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .checking import check, refuse
        from .progress import say
        from .reporting.findings import show

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
    from .flags import RecipeCommand
    from .recipes import Preview

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .progress import say
        from .reporting.preview import preview

        written = preview(recipe)
        say(f"wrote {written}")
        _print_json({"out": str(written)}, as_json)

    return RecipeCommand(Preview, "data", carry_out, _dotted)


def _pretrain() -> click.Command:
    from .flags import RecipeCommand
    from .recipes import Pretrain

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .training.pretrain import pretrain

        run = pretrain(recipe)
        status = run.status
        keys = ("steps", "chosen_step", "samples_per_second", "seconds", "final_terms", "health")
        _print_json({"run": str(run.folder), **{key: status.get(key) for key in keys}}, as_json)

    return RecipeCommand(Pretrain, "data", carry_out, _dotted)


def _told(default: Any) -> str:
    shown = ",".join(map(str, default)) if isinstance(default, (tuple, list)) else default
    return f"default: {shown}" if shown not in (None, "") else "default: none"


def _evaluate() -> click.Command:
    from .flags import RecipeCommand
    from .recipes import Evaluate

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .run import Run

        options = {name: getattr(recipe, name) for name in recipe.model_fields_set - {"run", "train", "test"}}
        evaluation = Run.open(recipe.run).evaluate(recipe.train, recipe.test, **options)
        if not as_json:
            from rich.console import Console

            from .judging.evaluation import table

            Console().print(table(evaluation))
            click.echo(evaluation.verdict)
        _print_json(evaluation.model_dump(mode="json"), as_json)

    return RecipeCommand(Evaluate, "run", carry_out, _of_finetuning)


def _of_finetuning(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of fine-tuning, with their help."""
    from . import modality
    from .judging.finetune import Tuning
    from .parts import options

    chosen_for_you = "default: by the number of labels, or the encoder"
    found = {
        f"finetune.{name}": chosen_for_you if option.default is None else _told(option.default)
        for name, option in options(Tuning).items()
        if name != "light"
    }
    light = {**modality.named("tables").view_options()["light"], **modality.named("images").view_options()["light"]}
    return found | {f"finetune.light.{name}": _told(default) for name, default in light.items()}


def _finetune() -> click.Command:
    from .flags import RecipeCommand
    from .recipes import Finetune

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .progress import say
        from .run import Run

        options = {name: getattr(recipe, name) for name in recipe.model_fields_set - {"run", "labelled", "out"}}
        metrics = Run.open(recipe.run).finetune(recipe.labelled, recipe.out, **options)
        if metrics["accuracy"] is not None:
            right, half = 100 * metrics["accuracy"], 50 * (metrics["high"] - metrics["low"])
            say(f"accuracy {right:.1f} ± {half:.1f} on {metrics['measured_on']:,} samples that chose nothing")
        else:
            say("too few labels to measure its accuracy; name a --test set for that")
        say(f"wrote {recipe.out}")
        _print_json({"classifier": recipe.out, **metrics}, as_json)

    return RecipeCommand(Finetune, ("run", "labelled"), carry_out, _of_finetuning)


def _predict() -> click.Command:
    @click.command(help=VERBS["predict"])
    @click.argument("classifier")
    @click.argument("data")
    @click.option("--out", required=True, metavar="FILE", help="predictions.csv, of path,predicted,probability")
    @click.option("--all", "every", is_flag=True, help="the probability of every class, in a column each")
    @click.option("--limit", type=click.IntRange(1), help="a random subset of this many images")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def predict(classifier: str, data: str, out: str, every: bool, limit: int | None, as_json: bool) -> None:
        from .progress import say
        from .transfer import predict as carry_out

        said = carry_out(classifier, data, out, every=every, limit=limit)
        counts = said.counts()
        say(f"wrote {out}")
        found = {"samples": len(said.keys), "quarantined": len(said.quarantined), "counts": counts}
        _print_json({"classifier": classifier, "out": out, **found}, as_json)

    return predict


def _compare() -> click.Command:
    from .flags import RecipeCommand
    from .recipes import Compare

    def encoders(chosen: dict[str, str]) -> dict[str, str]:
        found = _dotted({"data": chosen.get("data", "")})
        return {flag: told for flag, told in found.items() if flag.startswith("encoder.")}

    def carry_out(recipe: Any, as_json: bool) -> None:
        from .judging.compare import compare

        comparison = compare(recipe)
        if not as_json:
            from rich.console import Console

            from .judging.comparison import notes, table

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
    @click.option("--limit", type=click.IntRange(1), help="a random subset of this many images")
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def embed(run: str, data: str, out: str, limit: int | None, as_json: bool) -> None:
        from .embedding import embed as carry_out
        from .progress import say
        from .run import Run

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
        from .export import to_onnx
        from .progress import say
        from .run import Run

        opened = Run.open(run)
        if (opened.folder / "classifier").is_dir():
            from .classifier import load_classifier

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
    def report(runs: tuple[str, ...], out: str | None) -> None:
        from .progress import say
        from .reporting.report import write_report
        from .run import Run

        folders = [Run.open(run).folder for run in runs]
        say(f"wrote {write_report(folders, Path(out) if out else folders[0] / 'report.html')}")

    return report


def _methods() -> click.Command:
    @click.command(help=VERBS["methods"])
    @click.option("--json", "as_json", is_flag=True, help="print JSON to standard output")
    def methods(as_json: bool) -> None:
        from .listing import described_methods, methods_table

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
        from .listing import encoder_names

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
        from .demo import demo as carry_out

        _print_json(carry_out(Path(out)), as_json)

    return demo


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
    "methods": _methods,
    "encoders": _encoders,
}


def _print_json(value: Any, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    sys.exit(run_command(args))


def run_command(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. A user's mistake gets one line, a bug of ours its traceback."""
    try:
        with stopping():
            main_group.main(
                args=list(args) if args is not None else None, prog_name="selftaught", standalone_mode=False
            )
        return 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        return 2
    except SelftaughtError as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("stopped at once; a run goes on from its last checkpoint with --resume")
        return 75
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            _complain(f"the disk does not take it: {error}; make room, then say the same again, a run with --resume")
            return 75
        if is_out_of_memory(error):
            _complain(f"out of memory: {str(error).splitlines()[0]}; use a smaller --batch-size or --size")
            return 5
        traceback.print_exc()
        _complain(f"this is a bug: {type(error).__name__}: {error}")
        return 1


def _complain(line: str) -> None:
    sys.stderr.write("error: " + " ".join(line.split()) + "\n")
