"""Teach a network from your own unlabelled data, then hand it your few labels."""

import ast
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """Every public name with the place it lives at, as the list in __init__.pyi has them."""
    listed = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    found = [node for node in listed.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"{node.module}.{alias.name}" for node in found for alias in node.names}


_HOMES = _homes()
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so nothing that needs it is imported before it is asked for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = resolve_name(_HOMES[name])
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
