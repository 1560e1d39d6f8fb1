"""Every command in one row, which the command line, its help and the functions in Python read.

A row names what it needs and imports it when it is used, as torch takes seconds and `--help` should not wait for it. A
new command is a row, a recipe of its name in run/recipes.py, and a function from that recipe to a result; where the
result is not the JSON itself, one in answers.py says what of it is printed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selftaught.commands.answers import Answer
    from selftaught.run.fields import Recipe


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    line: str  # of help
    function: str  # what carries it out: module:function, from the recipe to the result
    positional: tuple[str, ...] = ()  # fields of the recipe that are words, not flags
    result: str = "as_it_is"  # the function in answers.py that shows the result
    dotted: str = "no_dots"  # the function in flags.py that lists the options of its parts
    from_file: bool = False  # whether it takes --recipe
    goes_on: bool = False  # whether its function is given what answers, as it goes on after that

    @property
    def recipe(self) -> "type[Recipe]":
        """The class of the command's name."""
        return resolve_name(f"selftaught.run.recipes:{self.name.capitalize()}")

    @property
    def options(self) -> Callable[[dict[str, str]], dict[str, str]]:
        """From what is chosen to the dotted flags with their help."""
        return resolve_name(f"selftaught.commands.flags:{self.dotted}")

    def answer(self, recipe: "Recipe", result: Any) -> "Answer":
        """What is printed of a result."""
        return resolve_name(f"selftaught.commands.answers:{self.result}")(recipe, result)

    def carry_out(self, recipe: "Recipe", *more: Any) -> Any:
        """The result of a recipe; `more` is what only Python can give, such as the user's own network."""
        return resolve_name(self.function)(recipe, *more)


def carried_out(name: str, values: dict[str, Any], *more: Any) -> Any:
    """The result of a command from values of its recipe. Raises UsageError for values that cannot be."""
    row = COMMANDS[name]
    return row.carry_out(row.recipe.parse(values), *more)


_ROWS = (
    Command(
        "demo",
        "Teach two encoders from handwritten digits and judge them, in under three minutes.",
        "selftaught.commands.demo:demo",
    ),
    Command(
        "check",
        "Look at data before training: what is broken, double or odd, and what a run takes.",
        "selftaught.commands.check:check",
        ("data",),
        result="findings",
        from_file=True,
    ),
    Command(
        "preview",
        "Draw what a method shows and asks.",
        "selftaught.reporting.preview:preview",
        ("data",),
        result="written",
        dotted="of_parts",
        from_file=True,
    ),
    Command(
        "pretrain",
        "Teach an encoder from unlabelled data.",
        "selftaught.training.pretrain:pretrain",
        ("data",),
        result="trained",
        dotted="of_parts",
        from_file=True,
    ),
    Command(
        "evaluate",
        "Judge a run beside honest baselines.",
        "selftaught.judging.evaluate:evaluate",
        ("run",),
        result="evaluation",
        dotted="of_finetuning",
        from_file=True,
    ),
    Command(
        "compare",
        "Train several methods with the same budget, and rank them.",
        "selftaught.commands.actions:compare",
        ("data",),
        result="comparison",
        dotted="of_encoders",
        from_file=True,
    ),
    Command(
        "finetune",
        "Make a classifier of a run's encoder and your labels.",
        "selftaught.judging.transfer:finetune",
        ("run", "labelled"),
        result="classifier",
        dotted="of_finetuning",
        from_file=True,
    ),
    Command(
        "predict",
        "Let a classifier sort new samples.",
        "selftaught.commands.actions:predict",
        ("classifier", "data"),
        result="predictions",
    ),
    Command(
        "embed",
        "Write the features of samples to a file.",
        "selftaught.commands.embed:embed",
        ("run", "data"),
        result="embedded",
    ),
    Command(
        "export",
        "Write a run's encoder, or a classifier, as ONNX.",
        "selftaught.commands.actions:export",
        ("run",),
        result="exported",
    ),
    Command(
        "report",
        "Write one HTML page about one or more runs.",
        "selftaught.commands.actions:report",
        ("runs",),
        result="written",
    ),
    Command(
        "watch",
        "Show that page in a browser while the runs go on.",
        "selftaught.reporting.watch:watch",
        ("runs",),
        result="listening",
        from_file=True,
        goes_on=True,
    ),
    Command(
        "methods",
        "List the methods, by family and kind.",
        "selftaught.commands.listing:methods",
        result="methods",
    ),
    Command(
        "encoders",
        "List encoders that can be named.",
        "selftaught.commands.listing:encoders",
        ("pattern",),
        result="encoders",
    ),
)
COMMANDS = {row.name: row for row in _ROWS}
