"""A release: whether all that names the version agrees, built, checked, and tried where nothing else is installed.

    python tools/release.py [--rehearse] [--out FOLDER] [--packages FOLDER]

It uploads nothing. --rehearse goes on though CHANGELOG.md has no day yet; --packages names a folder of packages to use
where there is no index to install from by hashes. Exit code 1 with a line for each thing that is wrong.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from packaging.metadata import Metadata

sys.path.insert(0, str(Path(__file__).parent))
import supply

ROOT = Path(__file__).parents[1]
HEAD = re.compile(r"^## (\S+) \((.+)\)$", re.MULTILINE)  # of a version in CHANGELOG.md, with its day
DAY = re.compile(r"\d{4}-\d\d-\d\d")
QUICK = ["--method", "simclr", "--encoder", "resnet10t", "--steps", "20", "--batch-size", "64", "--map", "0"]


class Refused(Exception):  # noqa: N818 - what is wrong stands in it, a line each
    """A release that cannot be."""


def versions(root: Path = ROOT) -> dict[str, str]:
    """The version, by the file that names it."""
    source = (root / "src/selftaught/__init__.py").read_text(encoding="utf-8")
    log = HEAD.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    return {
        "pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        "src/selftaught/__init__.py": re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)[0],
        "CITATION.cff": str(yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["version"]),
        "CHANGELOG.md": log[1] if log else "none",
        "release/recipe.yaml": str(
            yaml.safe_load((root / "release/recipe.yaml").read_text(encoding="utf-8"))["context"]["version"]
        ),
    }


def disagreements(root: Path = ROOT, rehearsal: bool = False) -> Iterator[str]:
    """A line for each file that names another version than pyproject.toml, or lacks the day."""
    told = versions(root)
    wanted = told["pyproject.toml"]
    yield from (f"{file} says {found}, and pyproject.toml {wanted}" for file, found in told.items() if found != wanted)
    log = HEAD.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if not rehearsal and log and not DAY.fullmatch(log[2]):
        yield f"CHANGELOG.md says ({log[2]}) of {log[1]}: put the day of the release there, as in (2030-01-31)"


def faults(wheel: Path, sdist: Path, version: str, root: Path = ROOT) -> Iterator[str]:
    """A line for each thing that is wrong with what was built: metadata, or files that it lacks."""
    with zipfile.ZipFile(wheel) as held, tarfile.open(sdist) as tar:
        packed, inside = set(held.namelist()), {name.partition("/")[2] for name in tar.getnames()}
        about = held.read(f"selftaught-{version}.dist-info/METADATA")
        beside = tar.extractfile(f"selftaught-{version}/PKG-INFO")
        assert beside
        for file, text in ((wheel, about), (sdist, beside.read())):
            try:
                told = Metadata.from_email(text, validate=True)
            except ExceptionGroup as error:
                yield from (f"{file.name}: {inner}" for inner in error.exceptions)
            else:
                if (told.name, str(told.version)) != ("selftaught", version):
                    yield f"{file.name} is {told.name} {told.version}"
    if f"selftaught-{version}.dist-info/licenses/LICENSE" not in packed:
        yield f"{wheel.name} lacks the licence"
    source = root / "src"
    for path in sorted((source / "selftaught").rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and "__pycache__" not in path.parts:
            yield from (f"{wheel.name} lacks {name}" for _ in range(name not in packed))
            yield from (f"{sdist.name} lacks src/{name}" for _ in range(f"src/{name}" not in inside))


def built(out: Path, version: str) -> tuple[Path, Path]:
    """The wheel and the sdist, new in `out`; the wheel is built of what the sdist holds. Raises Refused."""
    files = out / f"selftaught-{version}-py3-none-any.whl", out / f"selftaught-{version}.tar.gz"
    if there := [str(file) for file in files if file.exists()]:
        raise Refused(f"{there[0]} is there already: name another --out, or move it away")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT))
    return files


def tried(wheel: Path, version: str, packages: Path | None) -> None:
    """Install the wheel where nothing else is, and do the main job there on data that comes along. Raises Refused."""
    with TemporaryDirectory(prefix="selftaught-") as place:
        folder = Path(place)
        _run(sys.executable, "-m", "venv", str(folder / "venv"))
        home = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip = (str(home / "python"), "-m", "pip", "install", "--quiet")
        if packages:
            [site] = (folder / "venv").rglob("site-packages")
            (site / "packages.pth").write_text(f"{packages.resolve()}\n", encoding="utf-8")
        else:
            (folder / "pins.txt").write_text("\n".join(supply.pins()), encoding="utf-8")
            _run(*pip, "--require-hashes", "--requirement", str(folder / "pins.txt"))
        _run(*pip, "--no-deps", "--no-index", str(wheel.resolve()))
        said = _run(str(home / "python"), "-c", "import selftaught; print(selftaught.__file__)", place=folder)
        if not Path(said.strip()).is_relative_to(folder / "venv"):
            raise Refused(f"what is tried is not the wheel: {said.strip()}")
        said = _run(str(home / "selftaught"), "--version", place=folder)
        if version not in said:
            raise Refused(f"what was installed says: {said.strip()}")
        work = ["pretrain", "sklearn:digits", *QUICK, "--out", "run", "--json"]
        if json.loads(_run(str(home / "selftaught"), *work, place=folder))["steps"] != 20:
            raise Refused("pretrain did not take its 20 steps")
        judged = ["evaluate", "run", "--train", "sklearn:digits", "--probe", "knn", "--repeats", "1", "--json"]
        print(json.loads(_run(str(home / "selftaught"), *judged, place=folder))["verdict"])


def _run(*words: str, place: Path | None = None) -> str:
    """What a command prints. Nothing of this process's paths is handed on. Raises Refused with its last line."""
    print("$", *words, file=sys.stderr)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    ran = subprocess.run(words, cwd=place, env=kept, capture_output=True, text=True)
    if ran.returncode:
        lines = (ran.stderr or ran.stdout).strip().splitlines() or ["it said nothing"]
        raise Refused(f"{Path(words[0]).name} {words[1]} ended with {ran.returncode}: {lines[-1]}")
    return ran.stdout


def main(*arguments: str) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--packages", type=Path)
    asked = parser.parse_args(arguments)
    try:
        if wrong := list(disagreements(rehearsal=asked.rehearse)):
            raise Refused("\n".join(wrong))
        version = versions()["pyproject.toml"]
        wheel, sdist = built(asked.out, version)
        if wrong := list(faults(wheel, sdist, version)):
            raise Refused("\n".join(wrong))
        tried(wheel, version, asked.packages)
    except Refused as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    for file in (wheel, sdist):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}")
    print(f"{version} is ready; nothing was uploaded. What is left stands in CONTRIBUTING.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
