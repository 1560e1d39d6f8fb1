"""Draw the rooms of the package as its imports make them: docs/rooms.svg.

    python docs/rooms.py

Every floor may use what lies below it, and nothing else; `lint-imports` holds that. Each room shows what is in it, in
how many files, and how many of their imports go to which room below.
"""

from collections import Counter
from html import escape
from pathlib import Path
from textwrap import wrap

import grimp

PACKAGE = Path(__file__).parent.parent / "src" / "selftaught"
OUT = Path(__file__).with_name("rooms.svg")
FLOORS = [
    ["commands"],
    ["reporting"],
    ["judging"],
    ["training"],
    ["methods", "run", "data"],
    ["contracts"],
    ["system"],
]
SAYS = {
    "commands": "every way in: the command line, Python, scikit-learn",
    "reporting": "pages for people",
    "judging": "whatever sees labels",
    "training": "plan, loop, write down, look on; no label comes here",
    "methods": "the lecture: a file is a method",
    "run": "what lies in a run's folder",
    "data": "bytes, and what they mean",
    "contracts": "what a method, an encoder and a kind of data promise everybody else",
    "system": "the machine",
}
WIDTH, MARGIN, GAP, PADDING, LINE = 980, 16, 12, 12, 16
LETTER = 6.35  # px a character takes at 12 px, on the wide side

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1c2733; }
.room { fill: #f3f6fa; stroke: #9db2c9; } .name { font-weight: 600; font-size: 14px; } .uses { fill: #4a6078; }
@media (prefers-color-scheme: dark) {
  text { fill: #dde6f0; } .room { fill: #1b2531; stroke: #46607c; } .uses { fill: #9db2c9; }
}
"""


def main() -> None:
    """Write the picture."""
    OUT.write_text(picture())
    print(f"wrote {OUT}")


def picture() -> str:
    """The rooms as an SVG."""
    graph = grimp.build_graph("selftaught", exclude_type_checking_imports=False, cache_dir=None)
    uses: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if (a := room(module)) and (b := room(imported)) and a != b:
                uses[a, b] += 1
    below = MARGIN
    drawn = []
    for floor in FLOORS:
        width = (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1)) // len(floor)
        boxes = [lines(name, uses, int((width - 2 * PADDING) / LETTER)) for name in floor]
        height = max(map(len, boxes)) * LINE + 2 * PADDING
        for place, box in enumerate(boxes):
            drawn += drawn_box(MARGIN + place * (width + GAP), below, width, height, box)
        below += height + GAP
    size = f'width="{WIDTH}" height="{below}" viewBox="0 0 {WIDTH} {below}"'
    title = "<title>The rooms of selftaught, floor by floor; imports only go down</title>"
    body = "\n".join(drawn)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{title}<style>{STYLE}</style>\n{body}\n</svg>\n'


def room(module: str) -> str:
    """The room that a module lies in."""
    return module.split(".")[1] if "." in module else ""


def lines(name: str, uses: Counter[tuple[str, str]], letters: int) -> list[tuple[str, str]]:
    """What a box says, with a style for each line."""
    folder = PACKAGE / name
    files = [file for file in folder.rglob("*.py") if file.name != "__init__.py"]
    own = sorted(file.stem for file in folder.glob("*.py") if file.name != "__init__.py")
    inner = sorted(
        f"{path.name}/\u00a0({sum(file.name != '__init__.py' for file in path.rglob('*.py'))})"
        for path in folder.iterdir()
        if path.is_dir() and any(path.rglob("*.py"))
    )
    down = [f"{b} {count}" for (a, b), count in sorted(uses.items(), key=lambda use: -use[1]) if a == name]
    said = [("name", f"{name}/ · {len(files)} files"), *(("", line) for line in wrap(SAYS[name], letters))]
    said += [("", line) for line in wrap(" · ".join([*inner, *own]), letters)]
    return said + [
        ("uses", line) for line in wrap("uses " + ", ".join(down) if down else "uses nothing of ours", letters)
    ]


def drawn_box(x: int, y: int, width: int, height: int, box: list[tuple[str, str]]) -> list[str]:
    """A rectangle and its lines."""
    text = [
        f'<text class="{style}" x="{x + PADDING}" y="{y + PADDING + LINE * row + 12}">{escape(line)}</text>'
        for row, (style, line) in enumerate(box)
    ]
    return [f'<rect class="room" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>', *text]


if __name__ == "__main__":
    main()
