"""The table of commands: every row names what there is, and nothing there is stands outside the table."""

import inspect
from pathlib import Path

import pytest

import selftaught
from selftaught.commands import answers, flags
from selftaught.commands.flags import RecipeCommand
from selftaught.commands.table import COMMANDS, Command, carried_out
from selftaught.run.recipes import Planning, Pretrain
from selftaught.run.recipes.fields import Mark, Recipe
from selftaught.system.errors import UsageError

ROWS = pytest.mark.parametrize("row", COMMANDS.values(), ids=list(COMMANDS))


@ROWS
def test_a_row_names_what_there_is(row: Command) -> None:
    assert row.line.endswith(".")
    (given, *more) = inspect.signature(row.function).parameters.values()
    assert row.recipe.__name__ in str(given.annotation)
    needed = [parameter for parameter in more if parameter.default is inspect.Parameter.empty]
    assert len(needed) == row.goes_on  # what answers, of a command that goes on after that
    if row.name != "demo":
        first, *rest = inspect.signature(getattr(answers, row.name)).parameters
        assert first == "recipe" and len(rest) <= 1
    assert isinstance(getattr(flags, f"of_{row.dotted}")({}), dict)


@ROWS
def test_every_field_is_a_word_a_flag_or_a_table_of_dotted_flags(row: Command) -> None:
    command = RecipeCommand(row.recipe, row.words, print, row.options, from_file=row.from_file, help=row.line)
    own = {"as_json", "quiet", "help_all", *(["recipe"] if row.from_file else [])}
    fields = {parameter.name for parameter in command.params} - own
    tables = {flag.partition(".")[0] for flag in row.options({})} & row.recipe.model_fields.keys()
    assert fields | tables | {*row.recipe.marked(Mark.FILLED_IN)} == row.recipe.model_fields.keys()
    assert len({name for parameter in command.params for name in parameter.opts}) == len(command.params)
    assert command.help


def test_every_recipe_has_a_row() -> None:
    own = {row.recipe for row in COMMANDS.values()} - {Planning}  # which takes what pretrain takes
    assert own == {*Recipe.__subclasses__()} and issubclass(Planning, Pretrain)


def test_the_first_page_names_every_command() -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text()
    assert [name for name in COMMANDS if f"selftaught {name}" not in page and f"make {name}" not in page] == []


def test_the_functions_in_python_are_commands() -> None:
    python = COMMANDS.keys() & set(selftaught.__all__)
    of_a_run = {"embed", "evaluate", "find", "odd", "select"}
    assert python == {"check", "compare", "pack", "predict", "pretrain", "preview"} | of_a_run
    assert {name for name in COMMANDS if hasattr(selftaught.Run, name)} == {"finetune"} | of_a_run
    with pytest.raises(UsageError, match="check has no option 'mehtod'; did you mean 'method'"):
        carried_out("check", {"data": "x", "mehtod": "simclr"})
    for function in (selftaught.check, selftaught.Run.evaluate):
        assert "options as of `selftaught" in (inspect.getdoc(function) or "")
