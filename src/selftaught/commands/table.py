"""Every command in one row, which the command line, its help and the functions in Python read.

A row names what it needs and imports it when it is used, as torch takes seconds and `--help` should not wait for it. A
new command is a row, and what has its name: a recipe in run/recipes/ and a function from that recipe to a result;
where the result is not the JSON itself, or where people are to read something, also a function in answers.py.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selftaught.run.recipes.fields import Recipe


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    line: str  # of help
    words: str = ""  # fields of the recipe that are words on the command line, not flags, in their order
    module: str = ""  # where the function of that name is; default: the file of that name in this folder
    dotted: str = "nothing"  # of what it has dotted flags: a function of_... in flags.py lists them
    from_file: bool = True  # whether it takes --recipe
    asked: str = ""  # the class of its recipe; default: that of its name
    example: str = ""  # of what to type, for the help
    another: str = ""  # likewise, where one does not show the half of it
    goes_on: bool = False  # whether its function is given what answers, as it goes on after that
    seeds: bool = False  # whether it trains or judges, for which torch's generators are seeded

    @property
    def recipe(self) -> "type[Recipe]":
        """What it is asked for."""
        return resolve_name(f"selftaught.run.recipes:{self.asked or self.name.capitalize()}")

    @property
    def options(self) -> Callable[[dict[str, str]], dict[str, str]]:
        """From what is chosen to the dotted flags with their help."""
        return resolve_name(f"selftaught.commands.flags:of_{self.dotted}")

    @property
    def function(self) -> Callable[..., Any]:
        """From a recipe, and what only Python can give, such as the user's own network, to the result."""
        return resolve_name(f"selftaught.{self.module or f'commands.{self.name}'}:{self.name}")


def carried_out(name: str, values: dict[str, Any], *more: Any) -> Any:
    """The result of a command from values of its recipe; data and methods may be objects. Raises UsageError."""
    from selftaught.data.sources.handed import handed
    from selftaught.methods.handed import handed as method_handed
    from selftaught.run.recipes.fields import Mark
    from selftaught.system import generators

    row = COMMANDS[name]
    with ExitStack() as until_done:
        until_done.enter_context(generators.kept(name, row.seeds))
        held = {field: values[field] for field in row.recipe.marked(Mark.DATA) if field in values}
        names = {
            field: until_done.enter_context(handed(one, values.get("column"), facts=field == "metadata"))
            for field, one in held.items()
        }
        chosen = {field: values[field] for field in ("method", "methods") if field in values}
        names |= {field: until_done.enter_context(method_handed(one)) for field, one in chosen.items()}
        return row.function(row.recipe.parse(by_name({**values, **names})), *more)


def by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Values of a recipe with methods and encoders called by name, where they are as papers write them: MoCo-v3."""
    from selftaught.contracts.modality import encoder_meant
    from selftaught.methods import registry

    for field, known in (("method", registry.named), ("encoder", encoder_meant), ("token_encoder", encoder_meant)):
        said = values.get(field)
        if isinstance(said, str):
            values = {**values, field: known(said)}
        elif isinstance(said, dict) and isinstance(said.get("name"), str):
            values = {**values, field: {**said, "name": known(said["name"])}}
    return values


_ROWS = (
    Command(
        "demo",
        "Teach two encoders from handwritten digits and judge them, in under three minutes.",
        from_file=False,
        example="selftaught demo",
    ),
    Command(
        "check",
        "Look at data before training: what is broken, double or odd, and what a run takes.",
        "data",
        example="selftaught check photos/ --out check.html",
    ),
    Command(
        "plan",
        "Predict what a run takes on other machines, or many.",
        "data",
        dotted="parts",
        asked="Planning",
        example="selftaught plan photos/ --method simclr --epochs 100 --devices 8 --card h100",
    ),
    Command(
        "pack",
        "Write images as a few large files, which are read much faster.",
        "data",
        example="selftaught pack photos/ --out shards/ --short-side 256",
    ),
    Command(
        "preview",
        "Draw what a method shows and asks.",
        "data",
        "reporting.preview",
        "parts",
        example="selftaught preview photos/ --method mae --out mae.png",
    ),
    Command(
        "pretrain",
        "Teach an encoder from unlabelled data.",
        "data",
        "commands.actions",
        "parts",
        seeds=True,
        example="selftaught pretrain photos/ --method simclr --encoder resnet18 --budget 30m --out runs/photos",
    ),
    Command(
        "evaluate",
        "Judge a run beside honest baselines.",
        "run",
        "judging.evaluate",
        "tuning",
        seeds=True,
        example="selftaught evaluate runs/photos --train labelled/ --probe knn,linear --labels 5,100%",
    ),
    Command(
        "compare",
        "Train several methods with the same budget, and rank them.",
        "data",
        "commands.actions",
        "encoders",
        seeds=True,
        example="selftaught compare photos/ --methods simclr,mae,rotation --budget 20m --train labelled/",
    ),
    Command(
        "finetune",
        "Make a classifier of a run's encoder and your labels.",
        "run labelled",
        "judging.transfer",
        "tuning",
        seeds=True,
        example="selftaught finetune runs/photos labelled/ --out runs/birds",
    ),
    Command(
        "predict",
        "Let a classifier sort new samples.",
        "classifier data",
        "commands.actions",
        from_file=False,
        example="selftaught predict runs/birds new-photos/ --out predictions.csv",
    ),
    Command(
        "select",
        "Say which samples to label first.",
        "run data",
        from_file=False,
        example="selftaught select runs/photos photos/ --count 100 --out to_label.csv",
    ),
    Command(
        "label",
        "Label samples in a browser, what helps most first.",
        "run data",
        from_file=False,
        goes_on=True,
        example="selftaught label runs/photos photos/ --classes cat,dog --out labels.csv --open",
        another="selftaught label runs/photos photos/ --task several --classes dog,grass --out labels.csv --open",
    ),
    Command(
        "find",
        "Find the samples that are most like some of yours.",
        "run data",
        from_file=False,
        example="selftaught find runs/photos photos/ --like this.jpg --page alike.html",
    ),
    Command(
        "odd",
        "Say which samples are odd, twice there or likely mislabelled.",
        "run data",
        from_file=False,
        example="selftaught odd runs/photos labelled/ --page odd.html",
    ),
    Command(
        "embed",
        "Write the features of samples to a file.",
        "run data",
        from_file=False,
        example="selftaught embed runs/photos photos/ --out features.npz",
    ),
    Command(
        "export",
        "Write a run's encoder, or a classifier, as ONNX or for ExecuTorch, or give it to the Hub.",
        "run",
        "commands.actions",
        from_file=False,
        example="selftaught export runs/photos --to onnx",
    ),
    Command(
        "report",
        "Write one HTML page about one or more runs.",
        "runs",
        "commands.actions",
        from_file=False,
        example="selftaught report runs/photos --labels labelled/",
    ),
    Command(
        "watch",
        "Show that page in a browser while the runs go on.",
        "runs",
        "reporting.watch",
        goes_on=True,
        example="selftaught watch runs/photos --open",
    ),
    Command(
        "methods",
        "List the methods, by family and kind.",
        "",
        "commands.listing",
        from_file=False,
        example="selftaught methods",
    ),
    Command(
        "encoders",
        "List encoders that can be named.",
        "pattern",
        "commands.listing",
        from_file=False,
        example="selftaught encoders vit_small",
    ),
)
COMMANDS = {row.name: row for row in _ROWS}
