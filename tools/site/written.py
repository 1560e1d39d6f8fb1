"""Pages that the code writes: one a method, one a command, and the reference of the Python functions."""

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

import selftaught
from selftaught.commands.cli import EPILOG, main_group
from selftaught.commands.listing import methods as listed
from selftaught.commands.table import COMMANDS
from selftaught.contracts.method import Method, Training
from selftaught.methods import registry
from selftaught.run.recipes import Methods

NEEDS = {
    "needs_tokens": "an encoder with tokens (a transformer)",
    "needs_color": "images of three colours",
    "needs_images": "images",
    "needs_places": "samples whose places are neighbours: images or series, not rows",
    "needs_up": "images that have an up",
    "needs_turns": "samples that can be turned: images, not sound",
    "needs_words": "texts",
    "needs_time": "time series",
    "needs_values": "places with values: words have none",
    "needs_teacher": "a teacher (`--teacher`)",
}
DATA = {"images": "photos/", "series": "series:signals.npz", "text": "texts.jsonl"}
FAMILIES = {"self_prediction": "self-prediction", "contrastive": "contrastive"}
ROWS = "docs/results/learns.jsonl"


def methods(root: Path) -> dict[str, str]:
    """{path: Markdown} of a page a method and of the list of all."""
    rows = [json.loads(line) for line in (root / ROWS).read_text().splitlines()]
    pages = {f"docs/methods/{one['name']}.md": _method(one, rows, root) for one in listed(Methods())}
    lines = ["# Methods", "", "Each asks an unlabelled sample a question that the sample itself answers.", ""]
    for kind, names in by_kind().items():
        lines += [f"## {kind[1].capitalize()} ({FAMILIES[kind[0]]})", ""]
        lines += [f"- [`{name}`]({name}.md): {registry.method_class(name).question}" for name in names] + [""]
    return {"docs/methods/index.md": "\n".join(lines), **pages}


def by_kind() -> dict[tuple[str, str], list[str]]:
    """The names of methods by family and kind."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in listed(Methods()):
        found.setdefault((one["family"], one["kind"]), []).append(one["name"])
    return found


def _method(one: dict[str, Any], rows: list[dict[str, Any]], root: Path) -> str:
    name, cls = one["name"], registry.method_class(one["name"])
    needs = [told for claim, told in NEEDS.items() if getattr(cls, claim)]
    lines = [f"# {name}", "", f"*{cls.question}*", "", inspect.getdoc(cls) or "", ""]
    lines += [f"- Family: {FAMILIES[one['family']]}, {one['kind']}", f"- Paper: <{cls.paper}>"]
    lines += [f"- Needs: {', '.join(needs)}"] if needs else []
    lines += [f"- Kinds of data: {', '.join(one['data'])}"]
    lines += [f"- Views: {', '.join(f'`{view}`' for view in cls.views)}"]
    lines += [f"- Not for vision transformers, which it has not taught anything yet: {cls.no_tokens}"] * bool(
        cls.no_tokens
    )
    if cls.experimental:
        lines += ["- Experimental: it has not yet beaten its own untrained encoder on real data"]
    teacher = " --teacher runs/known" if cls.needs_teacher else ""
    asked = f"{DATA[registry.kind_of(cls)]} --method {name}{teacher}"
    lines += ["", "```sh", f"selftaught preview {asked} --out {name}.png"]
    lines += [f"selftaught pretrain {asked} --out runs/{name}", "```", ""]
    lines += [f"![What {name} shows of four samples, and what a network answers]({_picture(name, cls, root)})", ""]
    lines += ["## Options", "", inspect.cleandoc(cls.__init__.__doc__ or ""), ""] if one["options"] else []
    if one["options"]:
        lines += ["| option | default |", "|---|---|"]
        lines += [f"| `--method.{option['name']}` | `{option['default']}` |" for option in one["options"]] + [""]
    lines += ["## Training, unless you say otherwise", "", *_preset(cls), ""]
    if (root / f"recipes/{name}_paper.yaml").exists():
        lines += [f"The paper's settings: [recipes/{name}_paper.yaml](../../recipes/{name}_paper.yaml).", ""]
    return "\n".join([*lines, "## Measured", "", *_measured(name, rows)])


def _picture(name: str, cls: type[Method], root: Path) -> str:
    """A method's own sheet, by bench/pictures.py; of methods that are not for images, what one of their data shows."""
    own = Path("docs/pictures/methods") / f"{name}.webp"
    shown = own if (root / own).exists() else Path("docs/pictures") / f"{registry.kind_of(cls)}.png"
    return f"../{shown.relative_to('docs')}"


def _preset(cls: type[Method]) -> Iterator[str]:
    usual = Training()
    yield "| setting | value |"
    yield "|---|---|"
    for field, value in vars(cls.preset).items():
        if value != getattr(usual, field) or field in ("optimizer", "lr", "batch_size", "weight_decay"):
            yield f"| `--training.{field}` | `{value}` |"


def _measured(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """The rows of a method as it is, once each: the newest judging of a training counts."""
    own: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row["method"] == name and not row["changes"]:
            key = (row["encoder"]["name"], row["samples"], row["seed"])
            if row.get("judging", 1) >= own.get(key, {}).get("judging", 1):
                own[key] = row
    if not own:
        yield "No row yet: it needs what the bench of methods does not have (rows of a table, a series, a teacher)."
        return
    yield "10,000 CIFAR-10 images without labels, then a linear probe and kNN on the 10,000 test images, in per cent"
    yield "([all methods](../results/learns.md))."
    yield ""
    yield "| encoder | samples | seed | linear | untrained | raw pixels | kNN | untrained |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for (encoder, samples, seed), row in sorted(own.items()):
        said = [row["linear"][key] for key in ("trained", "untrained", "pixels")]
        said += [row["knn"][key] for key in ("trained", "untrained")]
        cells = " | ".join(f"{100 * value:.1f}" for value in said)
        older = "" if row.get("judging", 1) > 1 else " (as judged before)"
        yield f"| {encoder}{older} | {samples:,} | {seed} | {cells} |"


def commands() -> dict[str, str]:
    """{path: Markdown} of a page a command."""
    os.environ["COLUMNS"] = "100"  # the width of help
    lines = ["# Commands", "", *(f"- [`selftaught {name}`]({name}.md): {row.line}" for name, row in COMMANDS.items())]
    pages = {"docs/commands/index.md": "\n".join([*lines, "", EPILOG, ""])}
    for name, row in COMMANDS.items():
        context = click.Context(main_group, info_name="selftaught")
        command = main_group.get_command(context, name)
        assert command
        told = CliRunner().invoke(command, ["--help-all"], prog_name=f"selftaught {name}").output
        pages[f"docs/commands/{name}.md"] = f"# selftaught {name}\n\n{row.line}\n\n```text\n{told.rstrip()}\n```\n"
    return pages


def python() -> dict[str, str]:
    """{path: Markdown} of the reference of what can be imported from `selftaught`, as mkdocstrings reads it."""
    lines = ["# In Python", "", "All of this is imported from `selftaught`. Options are those of the commands.", ""]
    for name in selftaught.__all__:
        what = getattr(selftaught, name)
        place = what.__name__ if inspect.ismodule(what) else f"{what.__module__}.{what.__qualname__}"
        lines += [f"## `{name}`", "", f"::: {place}", ""]
    return {"docs/python.md": "\n".join(lines)}
