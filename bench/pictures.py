"""What every method shows and hears: a sheet a method, a kind and a whole family, from the runs of bench/learns.py.

Each method's network answers about the same four test images. Writes docs/pictures/methods/<name>.webp,
docs/pictures/<kind>.png and docs/pictures/<family>.png; with --methods only the first, of these.

    python bench/pictures.py [--runs runs/learns] [--methods simclr,mae]
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from selftaught.data.images.pictures import contact_sheet
from selftaught.data.sheets import INK, PAPER
from selftaught.methods import registry
from selftaught.reporting.preview import answers
from selftaught.run.recipes import Preview

OUT = Path(__file__).parent.parent / "docs/pictures"
SHOWN, COLUMNS, GAP, TITLE = 4, 3, 24, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip/test")
    parser.add_argument("--runs", type=Path, default=Path("runs/learns"))
    parser.add_argument("--methods", help="whose own sheets are wanted, by commas")
    asked = parser.parse_args()
    wanted = asked.methods.split(",") if asked.methods else list(registry.places())
    (OUT / "methods").mkdir(parents=True, exist_ok=True)
    sheets: dict[str, list[tuple[str, Image.Image]]] = {}
    for place in sorted(registry.places().values(), key=lambda p: (p.family, p.kind, p.name)):
        if place.name not in wanted or registry.kind_of(registry.method_class(place.name)) != "images":
            continue
        found = sorted(asked.runs.glob(f"{place.name}-*-[0-9]-*"))
        named = {"run": str(found[0])} if found else {"method": place.name}
        if not found and registry.method_class(place.name).needs_teacher:  # any will do: only views are seen
            named["teacher"] = str(next(asked.runs.glob("*-resnet10t-*")))
        pictures, preparation = answers(Preview.parse({"data": asked.data, "samples": SHOWN, "limit": 40, **named}))
        del pictures["image"]
        sheet = contact_sheet(pictures, preparation, SHOWN)
        sheet.save(OUT / "methods" / f"{place.name}.webp", quality=80, method=6)
        # Views say all there is to see of contrastive methods; the others' answers are worth what they have learnt.
        title = place.name + ("" if found or place.family == "contrastive" else " (untrained)")
        sheets.setdefault(place.kind, []).append((title, sheet))
        sheets.setdefault(place.family.replace("_", "-"), []).append((f"{place.kind}: {title}", sheet))
    for name, titled in () if asked.methods else sheets.items():
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
