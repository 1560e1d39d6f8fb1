"""What every method shows and hears: a sheet a kind and one of each whole family, from the runs of bench/learns.py.

Each method's network answers about the same four test images. Writes docs/pictures/<kind>.png and
docs/pictures/<family>.png.

    python bench/pictures.py [--runs runs/learns]
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from selftaught import parts
from selftaught.recipes import Preview
from selftaught.reporting.pictures import INK, PAPER, contact_sheet
from selftaught.reporting.preview import answers

OUT = Path(__file__).parent.parent / "docs/pictures"
SHOWN, COLUMNS, GAP, TITLE = 4, 3, 24, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip/test")
    parser.add_argument("--runs", type=Path, default=Path("runs/learns"))
    asked = parser.parse_args()
    sheets: dict[str, list[tuple[str, Image.Image]]] = {}
    for place in sorted(parts.places().values(), key=lambda p: (p.family, p.kind, p.name)):
        found = sorted(asked.runs.glob(f"{place.name}-*-0-*"))
        if not found:
            print(f"{place.name}: no run in {asked.runs}")
            continue
        recipe = {"data": asked.data, "run": str(found[0]), "samples": SHOWN, "limit": 40}
        pictures, preparation = answers(Preview.parse(recipe))
        del pictures["image"]
        sheet = contact_sheet(pictures, preparation, SHOWN)
        sheets.setdefault(place.kind, []).append((place.name, sheet))
        sheets.setdefault(place.family.replace("_", "-"), []).append((f"{place.kind}: {place.name}", sheet))
    OUT.mkdir(exist_ok=True)
    for name, titled in sheets.items():
        arranged(titled).save(OUT / f"{name}.png", optimize=True)
        print(OUT / f"{name}.png")


def arranged(sheets: list[tuple[str, Image.Image]]) -> Image.Image:
    """Titled sheets in columns, each put where there is most room."""
    font = ImageFont.load_default(18)
    width = max(sheet.width for _, sheet in sheets) + GAP
    columns = min(COLUMNS, len(sheets))
    heights = [GAP] * columns
    places = []
    for title, sheet in sheets:
        column = heights.index(min(heights))
        places.append((title, sheet, column * width + GAP, heights[column]))
        heights[column] += TITLE + sheet.height + GAP
    whole = Image.new("RGB", (columns * width + GAP, max(heights)), PAPER)
    draw = ImageDraw.Draw(whole)
    for title, sheet, left, top in places:
        draw.text((left, top), title, fill=INK, font=font)
        whole.paste(sheet, (left, top + TITLE))
    return whole


if __name__ == "__main__":
    main()
