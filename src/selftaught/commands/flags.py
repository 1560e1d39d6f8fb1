"""Flags made from recipes: every field is a flag, every option of a chosen part a dotted flag."""

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BeforeValidator

from selftaught.commands.helping import explained, extra, possible, sections, shown, unknown
from selftaught.commands.table import by_name
from selftaught.contracts import modality
from selftaught.judging import probe
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import FieldError, Flag, Mark, Recipe, read_settings
from selftaught.run.settings import put, value_of
from selftaught.system import components
from selftaught.system.errors import UsageError
from selftaught.system.saying import quiet
from selftaught.system.text import bytes_of, filesize, printable
from selftaught.training.handed_over import handed_over
from selftaught.training.views import refuse_unknown_views

ALL = "--help-all"
READ = "selftaught.settings"  # in a context: the file of settings that was read ahead of parsing, and what it decides
EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)  # as click says it
DOT = "___"  # stands for a dot where a parameter needs a Python name; no option has three underscores in a row


class RecipeCommand(click.Command):
    """A command whose flags are a recipe's fields, and whose dotted flags are the options of its parts."""

    def __init__(
        self,
        recipe: type[Recipe],
        words: str,
        carry_out: Callable[[Any, bool], Any],
        dotted: Callable[[dict[str, str]], dict[str, str]] = lambda chosen: {},
        *,
        from_file: bool = True,
        help: str | None = None,
        examples: Sequence[str] = (),
    ) -> None:
        places = words.split()
        params: list[click.Parameter] = [_argument(place, recipe.model_fields[place]) for place in places]
        for field, info in recipe.model_fields.items():
            if field not in places and Mark.FILLED_IN not in info.metadata and get_origin(info.annotation) is not dict:
                params.append(_flag(field, info, from_file))
        if from_file:
            params.append(
                click.Option(["--recipe", "recipe"], metavar="FILE", help="settings to start from; flags come on top")
            )
        params.append(click.Option(["--json", "as_json"], is_flag=True, help="print JSON to standard output"))
        words_of_quiet = "say nothing of what goes on but warnings and notes; a run's log has it all"
        params.append(click.Option(["--quiet", "quiet"], is_flag=True, help=words_of_quiet))
        params.append(_all_of_the_help(hidden=not recipe.TITLES))
        super().__init__(recipe.title(), params=params, help=recipe.__doc__ or help)
        self.recipe, self.dotted, self.carry_out, self.examples = recipe, dotted, carry_out, examples
        self.from_file = from_file
        self.named: Collection[str] | None = None  # parts whose options the help is to have; None: all that there is

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.params = [p for p in self.params if "." not in p.opts[0]]  # a command that is called again starts anew
        switches = {p.opts[0] for p in self.params if isinstance(p, click.Option) and p.is_flag}
        given = _peek(args, switches.union(ctx.help_option_names))
        if self._is_settings(data := given.get("data", "")):
            args.insert(args.index(data), "--recipe")
            given["recipe"] = given.pop("data")
        file = given.get("recipe") if self.from_file else None
        ctx.meta[READ] = file, (read := _read(file))  # once, as a pipe has it only once
        chosen = {
            field: name
            for field, value in read.items()
            if isinstance(name := value.get("name") if isinstance(value, dict) else value, str)
        }
        # --views-for is a way to name views.
        named = {name.replace("_", "-").removesuffix("-for") for name in given}
        self.named = None if ALL in args or not self.recipe.TITLES else named
        for flag, help_text in self.dotted(chosen | given).items():
            self.params.append(click.Option([f"--{flag}", flag.replace(".", DOT)], help=help_text, metavar="VALUE"))
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = {flag for p in self.params for flag in p.opts}
            raise click.UsageError(unknown(error.option_name, known, f"{ctx.command_path} {ALL}")) from None
        except click.MissingParameter as error:
            flag = error.param.opts[0] if isinstance(error.param, click.Option) else ""
            word = flag or (error.param.human_readable_name if error.param else "a word")
            usage = " ".join([self._usage(ctx), *([f"{flag} ..."] if flag else [])])
            raise click.UsageError(f"{word} is missing: {usage}") from None
        except click.UsageError as error:
            if (words := EXTRA.match(error.message)) is None:
                raise
            raise click.UsageError(extra(words[1], self._usage(ctx), str(ctx.info_name))) from None

    def _usage(self, ctx: click.Context) -> str:
        return " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")  # in one line, to be copied
        options = self.get_params(ctx)
        for title, some in sections(options, self.recipe.TITLES, (*self.recipe.FIRST, "help_all"), self.named):
            if records := [record for option in some if (record := option.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _is_settings(self, data: str) -> bool:
        """Whether what stands in the place of the data is a file of settings, where data can be left out."""
        place = self.recipe.model_fields.get("data")
        return place is not None and not place.is_required() and data.endswith((".yaml", ".yml"))

    def invoke(self, ctx: click.Context) -> Any:
        given = {
            name.replace(DOT, "."): value
            for name, value in ctx.params.items()
            if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        }
        as_json, calm = given.pop("as_json", False), given.pop("quiet", False)
        (known, read), file = ctx.meta[READ], given.pop("recipe", None)
        # Flags come on top, so only those that were given count.
        values = handed_over(read if file == known else _read(file), given)
        lengths = Recipe.marked(Mark.LENGTH)
        if not given.keys().isdisjoint(lengths):  # said one way by the file, perhaps, and another way now
            values = {name: value for name, value in values.items() if name not in lengths}
        values |= {name: value for name, value in given.items() if "." not in name}
        for dotted in (name for name in given if "." in name):
            put(values, dotted, value_of(given[dotted]), self.recipe.model_fields)
        told = components.options_of(f"--recipe {file}", "leave {} out of it", given) if file else nullcontext()
        with quiet() if calm else nullcontext(), told:
            return self.carry_out(self._parsed(values, file, given), as_json)

    def _parsed(self, values: dict[str, Any], file: str | None, given: Collection[str]) -> Recipe:
        """The recipe; of a field that is refused it is said that it stands in the file, where no flag has set it."""
        try:
            return self.recipe.parse(by_name(values))
        except FieldError as error:
            if file is None or error.field in given:
                raise
            raise UsageError(f"--recipe {printable(file)}: {error}") from None


def _all_of_the_help(hidden: bool) -> click.Option:
    """The flag for all of the help, which every command takes; `hidden` where --help is all that there is."""

    def show(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()

    about = "show every option, by what it is about, and dotted ones"
    how: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "hidden": hidden}
    return click.Option([ALL, "help_all"], callback=show, help=about, **how)


def settings(file: str | None) -> dict[str, Any]:
    """What a YAML file decides, as plain values of a recipe's fields; a run's own recipe.yaml will do."""
    return handed_over(_read(file))


def _read(file: str | None) -> dict[str, Any]:
    """All that a YAML file says; nothing where there is none."""
    return {} if file is None else read_settings(Path(file), f"--recipe {printable(file)}", named=True)


def _argument(place: str, info: Any) -> click.Argument:
    many: dict[str, Any] = {"nargs": -1, "metavar": f"{place.removesuffix('s').upper()}..."}
    return click.Argument([place], required=info.is_required(), **many if get_origin(info.annotation) is tuple else {})


def _flag(field: str, info: Any, from_file: bool) -> click.Option:
    written = next((item for item in info.metadata if isinstance(item, Flag)), Flag())
    names = [f"--{(written.name or field).replace('_', '-')}", field]
    text = info.description or ""
    for word, names_of in (("FEATURE_PROBES", probe.of_features), ("PROBES", probe.names)):
        text = text.replace(word, ",".join(names_of())) if word in text else text
    default = None if info.is_required() else info.default
    if info.annotation is bool:
        return click.Option(names, is_flag=True, help=text)
    # Click may only say what is required, and what is taken otherwise, where no file can say it.
    known = {} if from_file else {"required": info.is_required(), "default": default, "show_default": True}
    if get_origin(info.annotation) is Literal:
        return click.Option(names, type=click.Choice(get_args(info.annotation)), help=text, **known)
    if from_file and default is not None:
        size = any(item.func is bytes_of for item in info.metadata if isinstance(item, BeforeValidator))
        text += f" [default: {filesize(default) if size else getattr(default, 'name', default)}]"
    if get_origin(info.annotation) is tuple:
        known = {**known, "multiple": True, "show_default": False}
    kind = next((k for k in (*get_args(info.annotation), info.annotation) if k in (int, float)), str)
    metavar = written.metavar or {int: "N", float: "NUMBER"}.get(kind, "VALUE")
    return click.Option(names, help=text, metavar=metavar, **known)


def _peek(args: Sequence[str], switches: Collection[str]) -> dict[str, str]:
    """What `args` say of the data and the parts, read ahead of parsing, since it decides which flags exist.

    The data is the first word that belongs to no flag; `switches` are the flags that take no word.
    """
    chosen, words = dict[str, str](), list[str]()
    left = iter(args)
    for arg in left:
        name, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("-"):
            words.append(arg)
        elif equals:
            chosen[name] = value
        elif arg.startswith("--") and arg not in switches and (word := next(left, None)) is not None:
            chosen[name] = word
    chosen.pop("data", None)  # there is no such flag, as parsing will say
    return {"data": words[0], **chosen} if words else chosen


def of_nothing(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of a command without parts."""
    return {}


def of_encoders(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of the encoders of the chosen data, with their help."""
    kind = modality.of(chosen.get("data", ""))
    return {f"encoder.{name}": told for name, told in explained(kind.create).items()}


def of_parts(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of the chosen data, method and encoder, with their help."""
    kind = modality.of(chosen.get("data", ""))
    name = registry.named(chosen.get("method", Pretrain.model_fields["method"].default.name))
    method = registry.method_class(name)
    refuse_unknown_views(method, kind, name)
    flags = {f"method.{name}": told for name, told in explained(method).items()}
    flags |= of_encoders(chosen)
    pace = components.options(type(method.preset))
    for name, default in vars(method.preset).items():
        flags[f"training.{name}"] = "; ".join(filter(None, (possible(pace[name]), shown(default))))
    wanted = dict.fromkeys(view for view in method.views if view not in ("plain", "index"))
    preset = kind.VIEWS_FOR.get(chosen.get("views-for") or chosen.get("views_for", ""), {})
    known = {view: {**options, **preset.get(view, {})} for view, options in kind.view_options().items()}
    for view in [*wanted, *(view for view in known if view not in wanted)]:
        unused = f" (not used by {method.__name__})" if view not in wanted else ""
        flags |= {f"views.{view}.{name}": shown(default) + unused for name, default in known.get(view, {}).items()}
    return flags


def of_tuning(chosen: dict[str, str]) -> dict[str, str]:
    """The dotted flags of fine-tuning, with their help."""
    from selftaught.judging.finetune import BY_DEFAULT, Tuning

    flags = {
        f"finetune.{name}": "; ".join(filter(None, (possible(option), shown(BY_DEFAULT.get(name, option.default)))))
        for name, option in components.options(Tuning).items()
        if name != "light"
    }
    # Which kind of data it will be is known only to the run; where several have an option, the first one's help counts.
    light: dict[str, Any] = {}
    for name in reversed(modality.names()):
        light |= modality.named(name).view_options().get("light", {})
    return flags | {f"finetune.light.{name}": shown(default) for name, default in light.items()}
