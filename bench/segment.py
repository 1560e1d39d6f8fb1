"""Do features know where things are? Linear segmentation of made scenes, after SimCLR and after MAE without any mask.

The scenes are made, not photographed: discs, squares, triangles, rings and crosses of any colour and texture lie on
textured grounds among lines and specks, which are ground as well. A colour says nothing of a class; a shape does. The
edge of each thing is void, as in Pascal VOC. The same seeds draw the same scenes on every machine. Writes
docs/results/segment.json and .md.

    python bench/segment.py [--samples 5000]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from runs import made
from selftaught.judging.result import KINDS, Evaluation

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/segment.json"
SIDE, FINE, VOID = 48, 4, 255  # pixels of a scene, drawn so many times as large, and the number of edges
SHAPES = ("ground", "disc", "square", "triangle", "ring", "cross")
SETS = {"unlabelled": 2000, "train": 200, "test": 200}
ARMS: dict[str, dict[str, Any]] = {
    "SimCLR, small ResNet": {"method": "simclr", "encoder": {"name": "test_resnet", "options": {"stem": "small"}}},
    "MAE, transformer": {
        "method": "mae",
        "encoder": {"name": "vit_tiny_patch16_224", "options": {"depth": 4, "patch": 6, "width": 128}},
    },
}

Array = NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5_000, help="that each method learns from, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/segment"))
    asked = parser.parse_args()
    for place, (name, count) in enumerate(SETS.items()):
        draw(asked.runs / name, count, np.random.default_rng([asked.seed, place]))
    held: dict[str, Any] = {"samples": asked.samples, "seed": asked.seed, "scenes": SETS, "arms": {}}
    for arm, told in ARMS.items():
        out = asked.runs / f"{told['method']}-{asked.samples}-{asked.seed}"
        steps, seed = asked.samples // 128, asked.seed
        run = made(out, str(asked.runs / "unlabelled/images"), steps=steps, batch_size=128, seed=seed, map=0, **told)
        train, test = (asked.runs / name / "images" for name in ("train", "test"))
        held["arms"][arm] = rows(run.evaluate(train, test, probe="segment", seed=seed))
    RESULT.write_text(json.dumps(held, indent=2) + "\n")
    RESULT.with_suffix(".md").write_text(markdown(held))
    print(markdown(held))


def draw(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Scenes in images/, and in masks/ the class of each pixel; what is there already is left."""
    if folder.exists():
        return
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for place in range(count):
        image, mask = scene(rng)
        image.save(folder / "images" / f"{place:04d}.png")
        mask.save(folder / "masks" / f"{place:04d}.png")


def scene(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """One to three things on a ground with clutter, and their classes."""
    image, numbers = texture(rng), np.zeros((SIDE, SIDE), dtype=np.uint8)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(4, 10)):
        clutter(pen, rng)
    for _ in range(rng.integers(1, 4)):
        number = int(rng.integers(1, len(SHAPES)))
        outline = thing(SHAPES[number], rng)
        image.paste(texture(rng), mask=outline)
        whole = np.asarray(outline.resize((SIDE, SIDE), Image.Resampling.BOX))
        numbers[whole > 0] = VOID
        numbers[whole == 255] = number
    grain = rng.normal(0, 6, (SIDE, SIDE, 3))
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), Image.fromarray(numbers)


def texture(rng: np.random.Generator) -> Image.Image:
    """A ground of a random colour, with stripes or spots of a random size in another shade."""
    side = SIDE * FINE
    colour, contrast = rng.integers(40, 216, 3), rng.normal(0, 18, 3)
    if rng.random() < 0.5:
        y, x = np.mgrid[:side, :side] * rng.uniform(0.02, 0.12)
        turn = rng.uniform(0, np.pi)
        waves = np.sin(np.cos(turn) * x + np.sin(turn) * y + rng.uniform(0, 6))
    else:
        noise = Image.fromarray(rng.normal(0, 1, (side, side)).astype(np.float32).clip(-2, 2) * 60 + 128).convert("L")
        soft = np.asarray(noise.filter(ImageFilter.GaussianBlur(float(rng.uniform(4, 12)))), dtype=float)
        waves = (soft - soft.mean()) / max(soft.std(), 1e-6)
    return Image.fromarray((colour + contrast * waves[..., None]).clip(0, 255).astype(np.uint8))


def clutter(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """A line or a speck, which is of no class."""
    colour = tuple(rng.integers(0, 256, 3).tolist())
    x, y, to_x, to_y = rng.integers(0, SIDE * FINE, 4).tolist()
    if rng.random() < 0.6:
        pen.line((x, y, to_x, to_y), fill=colour, width=int(rng.integers(2, 9)))
    else:
        radius = int(rng.integers(3, 9))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def thing(shape: str, rng: np.random.Generator) -> Image.Image:
    """Where a thing of a random size, turn and place is: 255 inside of it."""
    side, radius = SIDE * FINE, float(rng.uniform(7, 13)) * FINE
    outline = Image.new("L", (side, side))
    pen, centre = ImageDraw.Draw(outline), rng.uniform(radius, side - radius, 2)
    turn = rng.uniform(0, 2 * np.pi)

    def corners(angles: Array, lengths: Array) -> list[tuple[float, float]]:
        around = np.stack([np.cos(angles + turn), np.sin(angles + turn)], axis=1) * lengths[:, None]
        return [(float(x), float(y)) for x, y in centre + around]

    def circle(length: float, fill: int) -> None:
        pen.ellipse([*(centre - length).tolist(), *(centre + length).tolist()], fill=fill)

    if shape in ("disc", "ring"):
        circle(radius, 255)
        if shape == "ring":
            circle(0.5 * radius, 0)
    elif shape == "cross":
        angles = np.arange(4)[:, None] * np.pi / 2 + np.array([-0.3, 0.3, np.pi / 4])
        lengths = np.tile(np.array([1.0, 1.0, 0.42]) * radius, 4)
        pen.polygon(corners(angles.ravel(), lengths), fill=255)
    else:
        count = 4 if shape == "square" else 3
        pen.polygon(corners(np.arange(count) * 2 * np.pi / count, np.full(count, radius)), fill=255)
    return outline


def rows(evaluation: Evaluation) -> dict[str, Any]:
    """What is kept of an evaluation."""
    kept = ("labels", "features", "accuracy", "low", "high", "measures")
    ious = [dict(zip(SHAPES, detail.iou or [])) for detail in evaluation.details]
    found = [{**row.model_dump(include={*kept}), "iou": iou} for row, iou in zip(evaluation.rows, ious, strict=True)]
    return {"rows": found, "verdicts": evaluation.verdicts}


def markdown(held: dict[str, Any]) -> str:
    """The table, and what the verdicts say."""
    scenes, samples = held["scenes"], held["samples"]
    lines = [
        "# Do features know where things are? Linear segmentation of made scenes",
        "",
        f"mIoU in per cent with 95 % intervals, on {scenes['test']} made scenes (not photographs) of {SIDE} x {SIDE} "
        f"pixels: {', '.join(SHAPES[1:])} of any colour and texture on cluttered grounds. Each method has seen "
        f"{samples:,} samples of {scenes['unlabelled']:,} other scenes, which is little, and no mask; one linear layer "
        f"on the frozen map learns from the masks of {scenes['train']}. One seed. Made by "
        "`bench/segment.py`.",
        "",
        "| | masks | features | mIoU | pixels right | " + " | ".join(SHAPES) + " |",
        "|---|---|---|--:|--:|" + "--:|" * len(SHAPES),
    ]
    for arm, judged in held["arms"].items():
        for row in judged["rows"]:
            half = 50 * (row["high"] - row["low"])
            cells = [f"{100 * row['iou'][shape]:.1f}" for shape in SHAPES]
            measured = f"{100 * row['accuracy']:.1f} ± {half:.1f} | {100 * row['measures']['pixel_accuracy']:.1f}"
            lines.append(f"| {arm} | {row['labels']} | {KINDS[row['features']]} | {measured} | {' | '.join(cells)} |")
    lines += ["", *(f"- {arm}: {line}" for arm, judged in held["arms"].items() for line in judged["verdicts"])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
