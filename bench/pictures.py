"""What every method of a family shows and hears: one sheet from the runs of bench/learns.py.

Each method's network answers about the same four test images. Writes docs/<family>.png.

    python bench/pictures.py --family self_prediction [--runs runs/learns]
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from selftaught import parts
from selftaught.recipes import Preview
from selftaught.reporting.pictures import INK, PAPER, contact_sheet
from selftaught.reporting.preview import answers

ROOT = Path(__file__).parent.parent
SHOWN, COLUMNS, GAP, TITLE = 4, 3, 24, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip/test")
    parser.add_argument("--family", default="self_prediction")
    parser.add_argument("--runs", type=Path, default=Path("runs/learns"))
    asked = parser.parse_args()
    sheets = []
    for place in sorted(parts.places().values(), key=lambda p: (p.kind, p.name)):
        found = sorted(asked.runs.glob(f"{place.name}-*-0-*"))
        if place.family != asked.family or not found:
            continue
        recipe = {"data": asked.data, "run": str(found[0]), "samples": SHOWN, "limit": 40}
        pictures, preparation = answers(Preview.parse(recipe))
        del pictures["image"]
        sheets.append((f"{place.kind}: {place.name}", contact_sheet(pictures, preparation, SHOWN)))
    out = ROOT / f"docs/{asked.family.replace('_', '-')}.png"
    arranged(sheets).save(out, optimize=True)
    print(out)


def arranged(sheets: list[tuple[str, Image.Image]]) -> Image.Image:
    """Titled sheets in columns, each put where there is most room."""
    font = ImageFont.load_default(18)
    width = max(sheet.width for _, sheet in sheets) + GAP
    heights = [GAP] * COLUMNS
    places = []
    for title, sheet in sheets:
        column = heights.index(min(heights))
        places.append((title, sheet, column * width + GAP, heights[column]))
        heights[column] += TITLE + sheet.height + GAP
    whole = Image.new("RGB", (COLUMNS * width + GAP, max(heights)), PAPER)
    draw = ImageDraw.Draw(whole)
    for title, sheet, left, top in places:
        draw.text((left, top), title, fill=INK, font=font)
        whole.paste(sheet, (left, top + TITLE))
    return whole


if __name__ == "__main__":
    main()
