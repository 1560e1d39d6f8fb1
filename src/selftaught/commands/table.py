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
    goes_on: bool = False  # whether its function is given what answers, as it goes on after that

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
    """The result of a command from values of its recipe, data itself among them. Raises UsageError."""
    from selftaught.data.sources.handed import handed
    from selftaught.run.recipes.fields import Mark

    row = COMMANDS[name]
    with ExitStack() as until_done:
        held = {field: values[field] for field in row.recipe.marked(Mark.DATA) if field in values}
        names = {
            field: until_done.enter_context(handed(one, values.get("column"), facts=field == "metadata"))
            for field, one in held.items()
        }
        return row.function(row.recipe.parse({**values, **names}), *more)


_ROWS = (
    Command(
        "demo", "Teach two encoders from handwritten digits and judge them, in under three minutes.", from_file=False
    ),
    Command("check", "Look at data before training: what is broken, double or odd, and what a run takes.", "data"),
    Command("plan", "Predict what a run takes on other machines, or many.", "data", dotted="parts", asked="Planning"),
    Command("pack", "Write images as a few large files, which are read much faster.", "data"),
    Command("preview", "Draw what a method shows and asks.", "data", "reporting.preview", "parts"),
    Command("pretrain", "Teach an encoder from unlabelled data.", "data", "commands.actions", "parts"),
    Command("evaluate", "Judge a run beside honest baselines.", "run", "judging.evaluate", "tuning"),
    Command(
        "compare", "Train several methods with the same budget, and rank them.", "data", "commands.actions", "encoders"
    ),
    Command(
        "finetune",
        "Make a classifier of a run's encoder and your labels.",
        "run labelled",
        "judging.transfer",
        "tuning",
    ),
    Command("predict", "Let a classifier sort new samples.", "classifier data", "commands.actions", from_file=False),
    Command("select", "Say which samples to label first.", "run data", from_file=False),
    Command("find", "Find the samples that are most like some of yours.", "run data", from_file=False),
    Command("odd", "Say which samples are odd, twice there or likely mislabelled.", "run data", from_file=False),
    Command("embed", "Write the features of samples to a file.", "run data", from_file=False),
    Command("export", "Write a run's encoder, or a classifier, as ONNX.", "run", "commands.actions", from_file=False),
    Command("report", "Write one HTML page about one or more runs.", "runs", "commands.actions", from_file=False),
    Command("watch", "Show that page in a browser while the runs go on.", "runs", "reporting.watch", goes_on=True),
    Command("methods", "List the methods, by family and kind.", "", "commands.listing", from_file=False),
    Command("encoders", "List encoders that can be named.", "pattern", "commands.listing", from_file=False),
)
COMMANDS = {row.name: row for row in _ROWS}
