"""Sets of other kinds of data than images, made once of what packages bring: series, sound and texts."""

import ast
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from selftaught.system.errors import UsageError

SERIES = ("GunPoint", "BasicMotions", "ArrowHead", "ItalyPowerDemand", "JapaneseVowels", "OSULeaf", "ACSF1")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
VOICES, TESTED = 60, 4  # voices, and of so many one is tested with
EACH = 4  # clips of a word by a voice
SPEEDS, PITCHES = (110, 230), (20, 80)  # words a minute, and the synthesiser's scale of 0 to 99
KITS = Path("/usr/share/hydrogen/data/drumkits")
HELD_OUT = 3  # of so many drum kits one is tested with
DRUMS = {  # by what the instruments of kits are called
    "kick": r"kick|bass ?drum",
    "snare": r"snare",
    "hat": r"\bhat|hi-? ?hat|\bhh\b|\bs?ohh\b",
    "tom": r"\btom",
    "cymbal": r"crash|ride|splash|china|cymbal",
}
# Packages whose docstrings are told apart, and what would give each away.
PACKAGES = {
    "torch": "torch|pytorch|aten|cuda",
    "scipy": "scipy|sp",
    "sklearn": "sklearn|scikit|scikit-learn",
    "numpy": "numpy|np|ndarray",
    "PIL": "pil|pillow",
    "pydantic": "pydantic|pydantic_core",
    "skimage": "skimage|scikit|scikit-image",
    "hypothesis": "hypothesis",
    "torchvision": "torchvision|torch",
    "pyarrow": "pyarrow|arrow|pa",
}
NAMES = re.compile(rf"(?i)\b({'|'.join(PACKAGES.values())})\w*\b")
SHORTEST, LONGEST = 12, 1200  # words that a docstring has at least, and letters that are kept of it
LEARNT, JUDGED = 1200, 200  # docstrings of a package, at most


def series(name: str, place: Path, wheel: Path | None) -> Path:
    """SET_TRAIN.ts and SET_TEST.ts of a set that the package aeon carries, out of its wheel."""
    folder = place / name
    if not (folder / f"{name}_TEST.ts").exists():
        if wheel is None:
            raise UsageError("series are those that the wheel of aeon carries: name it by --archive")
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as held:
            for part in ("TRAIN", "TEST"):
                inside = f"aeon/datasets/data/{name}/{name}_{part}.ts"
                (folder / f"{name}_{part}.ts").write_bytes(held.read(inside))
    return folder


def spoken(place: Path) -> Path:
    """A folder of clips for each digit by espeak-ng, of voices to learn from (train) and of others (test)."""
    folder = place / f"digits-{VOICES}"
    if (folder / "whole").exists():
        return folder
    if not shutil.which("espeak-ng"):
        raise UsageError("the digits are spoken by espeak-ng, which is not installed")
    shutil.rmtree(folder, ignore_errors=True)  # of what was cut, which is ours
    rng = np.random.default_rng(0)
    for number, voice in enumerate(_voices()):
        part = "test" if number % TESTED == 0 else "train"
        for digit, turn in product(DIGITS, range(EACH)):
            file = folder / part / digit / f"{voice}-{turn}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            speed, pitch = (str(rng.integers(*ends)) for ends in (SPEEDS, PITCHES))
            speaker = f"{ACCENTS[rng.integers(len(ACCENTS))]}+{voice}"
            command = ["espeak-ng", "-v", speaker, "-s", speed, "-p", pitch, "-w", str(file), digit]
            subprocess.run(command, check=True, capture_output=True)
    (folder / "whole").touch()
    return folder


def _voices() -> list[str]:
    """Names of voices of the synthesiser, in an order of chance. Raises UsageError where there are too few."""
    told = subprocess.run(["espeak-ng", "--voices=variant"], check=True, capture_output=True, text=True).stdout
    names = sorted({line.split("!v/")[1].split()[0] for line in told.splitlines() if "!v/" in line})
    if len(names) < VOICES:
        raise UsageError(f"espeak-ng has {len(names)} voices, and {VOICES} are asked for")
    return [names[place] for place in np.random.default_rng(0).permutation(len(names))[:VOICES]]


def drums(place: Path) -> Path:
    """A folder of clips for each kind of drum, of some kits of Debian's hydrogen-drumkits (train) and of others (test).

    `unlabelled` holds every clip of the former kits, also those that are no such drum.
    """
    import soundfile  # of the extra `audio`

    folder = place / "drums"
    if (folder / "whole").exists():
        return folder
    if not KITS.exists():
        raise UsageError("the drums are those of Debian's package hydrogen-drumkits, which is not installed")
    shutil.rmtree(folder, ignore_errors=True)
    kits = [kit for kit in sorted(path for path in KITS.iterdir() if path.is_dir()) if any(_instruments(kit))]
    for number, kit in enumerate(kits):
        part, instruments = "test" if number % HELD_OUT == 0 else "train", dict(_instruments(kit))
        for file in sorted(kit.iterdir()):
            if file.suffix.lower() not in (".wav", ".flac", ".aiff"):
                continue
            places = ["unlabelled"] if part == "train" else []
            places += [f"{part}/{instruments[file.name]}"] if file.name in instruments else []
            for where in places:
                clip = folder / where / f"{kit.name.replace(' ', '_')}-{file.stem}.wav"
                clip.parent.mkdir(parents=True, exist_ok=True)
                sound, rate = soundfile.read(file, always_2d=True)
                soundfile.write(clip, sound.mean(axis=1), rate)
    (folder / "whole").touch()
    return folder


def _instruments(kit: Path) -> Iterator[tuple[str, str]]:
    """Files of a kit, and which drum they are of, where what the kit calls them says it."""
    root = ElementTree.parse(kit / "drumkit.xml").getroot()
    for node in root.iter():
        node.tag = node.tag.split("}")[-1]
    for instrument in root.iter("instrument"):
        called = (instrument.findtext("name") or "").lower()
        drum = next((drum for drum, words in DRUMS.items() if re.search(words, called)), "")
        if drum:
            yield from ((node.text or "", drum) for node in instrument.iter("filename"))


def docstrings(place: Path) -> Path:
    """train.jsonl and test.jsonl: docstrings of installed packages, their names taken out; no file is in both."""
    folder = place / "docstrings"
    if (folder / "test.jsonl").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    site, rng, seen = Path(np.__file__).parents[1], np.random.default_rng(0), set[str]()
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for name in PACKAGES:
        found = {file: list(_fresh(file, seen)) for file in sorted((site / name).rglob("*.py"))}
        own: dict[str, list[str]] = {"train": [], "test": []}
        tested = min(JUDGED, sum(map(len, found.values())) // 4)
        files = list(found)
        for file in (files[at] for at in rng.permutation(len(files))):
            own["test" if len(own["test"]) < tested else "train"] += found[file]
        for part, most in (("train", LEARNT), ("test", JUDGED)):
            drawn = rng.permutation(len(own[part]))[:most]
            rows[part] += [{"text": own[part][at], "label": name} for at in drawn]
    for part in ("train", "test"):
        lines = [json.dumps(rows[part][at]) + "\n" for at in rng.permutation(len(rows[part]))]
        (folder / f"{part}.jsonl").write_text("".join(lines))
    return folder


def _fresh(file: Path, seen: set[str]) -> Iterator[str]:
    """Docstrings of a file that no other has had, without what would give their package away."""
    if "tests" in file.parts or "_vendor" in file.parts:
        return
    try:
        nodes = list(ast.walk(ast.parse(file.read_text())))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            words = (ast.get_docstring(node) or "").split()
            text = NAMES.sub("it", " ".join(words))[:LONGEST]
            if len(words) >= SHORTEST and text not in seen:
                seen.add(text)
                yield text
