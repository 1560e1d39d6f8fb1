"""Self-contained HTML pages from the templates: everything is escaped that is not markup made here."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from selftaught.system.written import generator


@dataclass(frozen=True)
class Live:
    """What a page needs to follow the files it was made from."""

    version: str  # of the files
    every: float  # seconds between looks for another one
    standing: Markup  # where the runs stand
    script: Markup  # that looks


def rendered(template: str, **values: Any) -> str:
    """The page that a template makes of these values."""
    made_by = Markup(generator(template.removesuffix(".html")))
    return _environment().get_template(template).render(made_by=made_by, **values)


@cache
def _environment() -> Environment:
    """One, so that a template is compiled once: a page that is watched is made anew every few seconds."""
    return Environment(
        loader=PackageLoader("selftaught.reporting"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
