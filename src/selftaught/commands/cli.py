"""The command line: one word a command, documented exit codes, one line for a mistake."""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from selftaught.commands.table import COMMANDS, Command
from selftaught.system import standard
from selftaught.system.errors import (
    Interrupted,
    MemoryFull,
    OutOfMemory,
    SelftaughtError,
    Stopped,
    is_of_the_disk,
    is_of_the_path,
    is_out_of_memory,
    memory_full,
    remedy,
)
from selftaught.system.interruption import stopping
from selftaught.system.telemetry import switch_off
from selftaught.system.text import printable

EPILOG = """Exit codes: 0 done, 1 a bug of ours, 2 usage, 3 data, 4 diverged, 5 out of memory, 75 interrupted and
resumable. With --json, standard output holds JSON alone; everything for people goes to standard error."""


MORE = "end what else takes memory, or use a machine that has more"


class Commands(click.Group):
    """The commands of the table, each built when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            way = f"did you mean {close[0]!r}?" if close else "see selftaught --help"
            raise click.UsageError(f"no command {name!r}; {way}")
        from selftaught.commands.flags import RecipeCommand  # which needs pydantic, and --help does not

        row = COMMANDS[name]
        carried = partial(_carry_out, row)
        examples = [example for example in (row.example, row.another) if example]
        how: dict[str, Any] = {"from_file": row.from_file, "help": row.line, "examples": examples}
        return RecipeCommand(row.recipe, row.words, carried, row.options, **how)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(row.name, row.line) for row in COMMANDS.values()])


def _carry_out(row: Command, recipe: Any, as_json: bool) -> None:
    """Carry out a command and answer; without a function of its name in answers.py its result is the JSON."""
    from selftaught.commands import answers
    from selftaught.run.folder import RunFolder

    if "run" in row.words.split():  # what is wrong with it is said before any data is opened
        RunFolder.open(recipe.run)
    function = row.function
    _collect_from_here()

    def give(result: Any) -> None:
        getattr(answers, row.name, lambda _, result: answers.Answer(result))(recipe, result).give(as_json)

    with advised(recipe):
        if row.goes_on:
            function(recipe, give)
        else:
            give(function(recipe))


@contextmanager
def advised(recipe: Any) -> Iterator[None]:
    """Say with what ends the work what to do about it, as far as that depends on the command."""
    try:
        yield
    except Stopped as error:
        from selftaught.system.ownership import is_ours

        begun = getattr(recipe, "resume", None) is False and recipe.out and is_ours(Path(recipe.out))
        raise Interrupted(f"{error}; {'add --resume to go on' if begun else 'say the same again'}") from None
    except BrokenPipeError as error:
        raise RuntimeError(str(error)) from error  # no reader of ours: click would end in silence
    except Exception as error:
        if not isinstance(error, MemoryFull) and not is_out_of_memory(error):
            raise
        full = error if isinstance(error, MemoryFull) else memory_full(error)
        raise OutOfMemory(f"{full}; {_smaller(recipe)}") from error


def _smaller(recipe: Any) -> str:
    """What takes less memory than a recipe does."""
    fields = type(recipe).model_fields
    if less := [f"--{name.replace('_', '-')}" for name in ("batch_size", "size") if name in fields]:
        return f"use a smaller {' or '.join(less)}"
    if less := [f"--{name}" for name in ("workers", "limit") if name in fields]:
        return f"use a smaller {less[0]}"
    return MORE


def _collect_from_here() -> None:
    """Look for garbage again, where that was put off, and never among what is there by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="selftaught")
def main_group() -> None:
    """Teach a network from your own unlabelled data, then hand it your few labels.

    \b
    selftaught pretrain photos/ --out runs/photos
    selftaught evaluate runs/photos --train labelled/train --test labelled/test
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    standard.hold()
    switch_off()
    for stream in (sys.stdout, sys.stderr):  # which may have letters for less than names and tables hold
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    gc.disable()  # until all is imported: 700,000 objects, of which a hundredth is garbage
    sys.exit(run_command(args))


def run_command(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return exit_code(partial(_carry_out_words, args))


def _carry_out_words(args: Sequence[str] | None) -> None:
    streams = sys.stdout, sys.stderr
    try:
        main_group.main(args=args, prog_name="selftaught", standalone_mode=False)
    except SystemExit:  # which click makes of a pipe that broke, with an exit code of 1
        sys.stdout, sys.stderr = streams
        if not standard.is_unread():
            raise
        standard.drop_output()  # of which help was more than somebody wanted to read


def exit_code(work: Callable[[], Any]) -> int:
    """What a process ends with after some work. A user's mistake gets one line, a bug of ours its traceback."""
    try:
        with stopping():
            work()
        return 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _complain(error.format_message())
        return 2
    except SelftaughtError as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("stopped at once; say the same again, a run or a comparison with --resume")
        return 75
    except Exception as error:
        if is_of_the_path(error):
            _complain(f"{printable(error)}; choose another path, or change what may be written there")
            return 2
        if is_of_the_disk(error):
            assert isinstance(error, OSError)
            way = f"{remedy(error)}, then say the same again, a run with --resume"
            _complain(f"the disk does not take it: {printable(error)}; {way}")
            return 75
        if is_out_of_memory(error):
            _complain(f"{memory_full(error)}; {MORE}")
            return 5
        traceback.print_exc()
        _complain(f"this is a bug{_of_whom(error)}: {type(error).__name__}: {error}")
        return 1


def _of_whom(error: BaseException) -> str:
    """Where an exception passed through a package that somebody has plugged in; of one that did not, nothing."""
    from importlib.metadata import distributions

    points = [point for installed in distributions() for point in installed.entry_points]
    theirs = {point.module.partition(".")[0] for point in points if point.group.startswith("selftaught.")}
    theirs.discard("selftaught")
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in theirs:
            return f", of {package} as it seems ({printable(frame.f_code.co_filename)}, line {line})"
    return ""


def _complain(line: str) -> None:
    from selftaught.system.addresses import redacted
    from selftaught.system.saying import LAST_WORDS, person

    line = redacted(line)  # of what was typed, too, of which nobody knows what it was to be
    if file := os.environ.get(LAST_WORDS):
        Path(file).write_text(json.dumps({"line": " ".join(line.split())}), encoding="utf-8")
        return
    person.write("error: " + " ".join(line.split()) + "\n")
