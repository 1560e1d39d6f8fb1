"""Self-contained HTML pages from the templates: everything is escaped that is not markup made here."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def rendered(template: str, **told: Any) -> str:
    """The page that a template makes of these facts."""
    environment = Environment(
        loader=PackageLoader("selftaught.reporting"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**told)
