"""What a command's help says, and what it answers to the flags that people bring along from other tools."""

from collections.abc import Collection, Iterator
from typing import Any

import click

from selftaught.methods import registry
from selftaught.system import components
from selftaught.system.components import nearest

# How other tools spell what is asked for here.
ELSEWHERE = {
    "accelerator": "device",
    "gpus": "devices",
    "num-gpus": "devices",
    "num-nodes": "nodes",
    "model": "encoder",
    "backbone": "encoder",
    "arch": "encoder",
    "max-epochs": "epochs",
    "max-steps": "steps",
    "iterations": "steps",
    "minutes": "budget",
    "hours": "budget",
    "max-time": "budget",
    "samples": "limit",
    "max-samples": "limit",
    "learning-rate": "lr",
    "img-size": "size",
    "image-size": "size",
    "num-workers": "workers",
    "amp": "precision",
    "save-dir": "out",
    "output": "out",
    "output-dir": "out",
    "weights": "init",
    "checkpoint": "init",
    "ckpt-path": "init",
}
WRITTEN = {"--budget": "10m", "--limit": "1000"}  # such flags, where theirs may have another unit


def unknown(flag: str, known: Collection[str], listed: str) -> str:
    """What is said of a flag that a command does not have; `known` are those that it has, which `listed` shows."""
    name = flag.lstrip("-").replace("_", "-").lower()
    ours = f"--{ELSEWHERE.get(name, name)}"
    if ours in known:
        return f"there is no {flag}; here it is {ours}" + (f" {WRITTEN[ours]}" if ours in WRITTEN else "")
    found = [one for one in known if one.endswith(f".{ours[2:]}")]
    if len(found) == 1:
        return f"there is no {flag}; here it is {found[0]}"
    passes = [one for one in known if one.endswith(".epochs")]
    if ours == "--steps" and passes:
        return f"there is no {flag}; here passes over the labels are counted: {passes[0]}"
    close = nearest(flag, [one for one in known if one.startswith("--")])
    return f"there is no {flag}; {f'did you mean {close!r}?' if close else f'see {listed}'}"


def shown(default: Any) -> str:
    """A default, for people."""
    text = ",".join(map(str, default)) if isinstance(default, (tuple, list)) else default
    return f"default: {text}" if text not in (None, "") else "default: none"


def explained(built: Any) -> dict[str, str]:
    """Of each option of a part what it is for, what it can be, and its default."""
    said = components.about(built)
    told = {}
    for name, option in components.options(built).items():
        default = "it must be chosen" if option.is_required else shown(option.default)
        told[name] = "; ".join(filter(None, (said.get(name), possible(option), default)))
    return told


def possible(option: components.Option) -> str:
    """What an option can be, in words; "" where anything of its type will do."""
    if option.type is bool:
        return "true or false"
    named = " or ".join(map(str, components.choices(option.type)))
    return named or components.described(option.annotation) or ""


def extra(words: str, usage: str, command: str) -> str:
    """What is said of words that a command has no place for; `usage` is how it is called."""
    if command == "methods" and (name := registry.named(words)) in registry.places():
        return f"{words} is a method: see selftaught pretrain --method {name} --help-all"
    return f"there is no place for {words}: {usage}"


def sections(
    options: Collection[click.Parameter], titles: dict[str, str], first: Collection[str], named: Collection[str] | None
) -> Iterator[tuple[str, list[click.Parameter]]]:
    """The options of a command under titles, each of which begins with the field that it stands beside in `titles`.

    Unless all are asked for (`named` is None) they are the `first` ones, and the dotted ones of the parts that somebody
    has `named`.
    """
    plain = [option for option in options if isinstance(option, click.Option) and "." not in option.opts[0]]
    if named is None:
        found: list[tuple[str, list[click.Parameter]]] = []
        for option in plain:
            if option.name in titles or not found:
                found.append((titles.get(option.name or "", "Options"), []))
            found[-1][1].append(option)
        yield from found
    else:
        by_name = {option.name: option for option in plain}
        yield "Options", [by_name[name] for name in first if name in by_name]
    parts: dict[str, list[click.Parameter]] = {}
    for one in options:
        if "." in (flag := one.opts[0]) and (named is None or flag[2:].partition(".")[0] in named):
            parts.setdefault(flag[2:].partition(".")[0], []).append(one)
    for part, dotted in parts.items():
        yield ("Training" if part == "training" else f"Options of the {part}"), dotted
