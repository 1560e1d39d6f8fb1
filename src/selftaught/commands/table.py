"""Every command in one row, which the command line, its help and the functions in Python read.

A row names what it needs and imports it when it is used, as torch takes seconds and `--help` should not wait for it. A
new command is a row, a recipe of its name in run/recipes.py, and a function from that recipe to a result; where the
result is not the JSON itself, a function of the command's name in answers.py says what of it is printed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selftaught.run.fields import Recipe


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    line: str  # of help
    function: str  # what carries it out: module:function, from the recipe to the result
    words: str = ""  # fields of the recipe that are words on the command line, not flags
    dotted: str = "nothing"  # of what it has dotted flags: a function of_... in flags.py lists them
    from_file: bool = False  # whether it takes --recipe
    goes_on: bool = False  # whether its function is given what answers, as it goes on after that

    @property
    def positional(self) -> tuple[str, ...]:
        """The fields that are words, in their order."""
        return tuple(self.words.split())

    @property
    def recipe(self) -> "type[Recipe]":
        """The class of the command's name."""
        return resolve_name(f"selftaught.run.recipes:{self.name.capitalize()}")

    @property
    def options(self) -> Callable[[dict[str, str]], dict[str, str]]:
        """From what is chosen to the dotted flags with their help."""
        return resolve_name(f"selftaught.commands.flags:of_{self.dotted}")

    def carry_out(self, recipe: "Recipe", *more: Any) -> Any:
        """The result of a recipe; `more` is what only Python can give, such as the user's own network."""
        return resolve_name(f"selftaught.{self.function}")(recipe, *more)


def carried_out(name: str, values: dict[str, Any], *more: Any) -> Any:
    """The result of a command from values of its recipe. Raises UsageError for values that cannot be."""
    row = COMMANDS[name]
    return row.carry_out(row.recipe.parse(values), *more)


_ROWS = (
    Command(
        "demo",
        "Teach two encoders from handwritten digits and judge them, in under three minutes.",
        "commands.demo:demo",
    ),
    Command(
        "check",
        "Look at data before training: what is broken, double or odd, and what a run takes.",
        "commands.check:check",
        "data",
        from_file=True,
    ),
    Command(
        "preview", "Draw what a method shows and asks.", "reporting.preview:preview", "data", "parts", from_file=True
    ),
    Command(
        "pretrain",
        "Teach an encoder from unlabelled data.",
        "training.pretrain:pretrain",
        "data",
        "parts",
        from_file=True,
    ),
    Command(
        "evaluate",
        "Judge a run beside honest baselines.",
        "judging.evaluate:evaluate",
        "run",
        "finetuning",
        from_file=True,
    ),
    Command(
        "compare",
        "Train several methods with the same budget, and rank them.",
        "commands.actions:compare",
        "data",
        "encoders",
        from_file=True,
    ),
    Command(
        "finetune",
        "Make a classifier of a run's encoder and your labels.",
        "judging.transfer:finetune",
        "run labelled",
        "finetuning",
        from_file=True,
    ),
    Command("predict", "Let a classifier sort new samples.", "commands.actions:predict", "classifier data"),
    Command("embed", "Write the features of samples to a file.", "commands.embed:embed", "run data"),
    Command("export", "Write a run's encoder, or a classifier, as ONNX.", "commands.actions:export", "run"),
    Command("report", "Write one HTML page about one or more runs.", "commands.actions:report", "runs"),
    Command(
        "watch",
        "Show that page in a browser while the runs go on.",
        "reporting.watch:watch",
        "runs",
        from_file=True,
        goes_on=True,
    ),
    Command("methods", "List the methods, by family and kind.", "commands.listing:methods"),
    Command("encoders", "List encoders that can be named.", "commands.listing:encoders", "pattern"),
)
COMMANDS = {row.name: row for row in _ROWS}
