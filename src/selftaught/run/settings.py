"""Settings as people write them: a value in words, and a dotted name that says where it belongs in a recipe."""

import re
from collections.abc import Mapping
from typing import Any, get_origin

import yaml
from pydantic.fields import FieldInfo

from selftaught.system.components import short
from selftaught.system.errors import UsageError


def value_of(text: str) -> Any:
    """A number, true or false, a list such as 0.2,1, or a word."""
    if "," in text:
        return [value_of(item) for item in text.split(",")]
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # a number of thousands of digits, for one
        return text.strip()
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?[\d.]+e[-+]?\d+", value) else value


def put(values: dict[str, Any], path: str, value: Any, fields: Mapping[str, FieldInfo]) -> None:
    """Put a value where its dotted name says: method.width into the part's options, others into nested tables.

    A name without a dot is a field of its own. Raises UsageError for an option of a part that nobody has named.
    """
    field, *steps = path.split(".")
    if not steps:
        values[field] = value
        return
    if get_origin(fields[field].annotation) is dict:
        table = values[field] = _table(values.get(field) or {}, field, path)
    else:
        table = _options(values, field, getattr(fields[field].default, "name", None), path)
    for place, step in enumerate(steps[:-1], start=1):
        table = _table(table.setdefault(step, {}), ".".join([field, *steps[:place]]), path)
    table[steps[-1]] = value


def _table(held: Any, name: str, path: str) -> dict[str, Any]:
    """What a recipe holds under a name, as settings to put another one among. Raises UsageError where it is none."""
    if not isinstance(held, dict):
        raise UsageError(f"--{path} finds no settings in {name}, which is {short(held)}: write them one a line there")
    return held


def _options(values: dict[str, Any], field: str, default: str | None, path: str) -> dict[str, Any]:
    """The options of the part in a field, which may be its name alone, or left out for the default one."""
    current = values.get(field, default)
    if current is None:
        raise UsageError(f"--{path} needs --{field}")
    if not isinstance(current, dict):
        values[field] = current = {"name": current, "options": {}}
    current["options"] = _table(current.get("options") or {}, f"{field}.options", path)
    options: dict[str, Any] = current["options"]
    return options
