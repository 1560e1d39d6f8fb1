"""What is handed over: versions that agree, a wheel that lacks nothing, an image and a recipe that say the same."""

import re
import shlex
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from tools import release, supply

from tests.test_supply import EXTRAS, LARGE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = ("pyproject.toml", "src/selftaught/__init__.py", "CITATION.cff", "CHANGELOG.md", "release/recipe.yaml")
CONDA = {"torch": "pytorch", "huggingface-hub": "huggingface_hub"}  # what others call it


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in NAMED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_all_that_names_the_version_agrees() -> None:
    assert {*release.versions()} == {*NAMED} and list(release.disagreements(rehearsal=True)) == []


@pytest.mark.parametrize("name", NAMED[1:])
def test_a_file_that_names_another_version_is_named(copied: Path, name: str) -> None:
    text = (copied / name).read_text()
    (copied / name).write_text(text.replace(PROJECT["version"], "9.9.9"))
    assert list(release.disagreements(copied, rehearsal=True)) == [
        f"{name} says 9.9.9, and pyproject.toml {PROJECT['version']}"
    ]


def test_a_release_has_its_day(copied: Path) -> None:
    log, said = copied / "CHANGELOG.md", []
    for day in ("soon", "2030-01-31"):
        log.write_text(f"# What changed\n\n## {PROJECT['version']} ({day})\n")
        said.append(list(release.disagreements(copied)))
    assert "put the day of the release there" in said[0][0] and said[1] == []


def test_the_wheel_and_the_sdist_hold_all_of_the_package(tmp_path: Path) -> None:
    version = PROJECT["version"]
    wheel = Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    sdist = Path(next(SdistBuilder(str(ROOT)).build(directory=str(tmp_path))))
    assert list(release.faults(wheel, sdist, version)) == []
    lacking = tmp_path / "lacking.whl"
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(lacking, "w") as cut:
        for name in whole.namelist():
            if not name.endswith(("cell.html", "LICENSE")):
                text = whole.read(name)
                cut.writestr(name, text.replace(b"Name: selftaught", b"Name: another") if "METADATA" in name else text)
    assert list(release.faults(lacking, sdist, version)) == [
        f"lacking.whl is another {version}",
        "lacking.whl lacks the licence",
        "lacking.whl lacks selftaught/reporting/templates/cell.html",
    ]
    with pytest.raises(release.Refused, match="is there already"):
        release.built(tmp_path, version)


def test_what_is_needed_to_run_is_pinned_and_no_more() -> None:
    plain, more = supply.needed(), supply.needed("export", "text")
    assert {"torch", "numpy", "markupsafe"} <= plain and not {"pytest", "mypy", "onnx", "hatchling"} & plain
    assert {"onnx", "tokenizers"} <= more and plain < more
    lines = supply.pins("export", "text")
    assert {name for line in lines for name in supply.pinned(line)} == more - {supply.OWN}
    with pytest.raises(ValueError, match="selftaught has no extra exprot"):
        supply.needed("exprot")


def test_the_recipe_for_conda_needs_what_the_package_needs() -> None:
    recipe = yaml.safe_load((ROOT / "release/recipe.yaml").read_text())
    wanted = {
        f"{CONDA.get(need.name, need.name)} {need.specifier}" for need in map(Requirement, PROJECT["dependencies"])
    }
    python, *run = recipe["requirements"]["run"]
    assert {*run} == wanted and python == "python >=${{ python_min }}"
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    built_by = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert [one.replace(" ", "") for one in recipe["requirements"]["host"][2:]] == built_by
    [point] = recipe["build"]["python"]["entry_points"]
    assert point == " = ".join(["selftaught", PROJECT["scripts"]["selftaught"]])
    assert recipe["about"]["license"] == PROJECT["license"] and recipe["about"]["summary"] == PROJECT["description"]


def lines() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


def test_an_image_installs_by_hashes_alone_and_runs_as_nobody_special() -> None:
    ran = [rest for word, rest in lines() if word == "RUN"]
    installs = [part for rest in ran for part in rest.split("&&") if " pip install " in part]
    assert len(installs) == 2
    for part in installs:
        assert "--require-hashes" in part or {"--no-deps", "--no-index"} <= {*shlex.split(part)}, part
    for rest in ran:
        subprocess.run(["sh", "-n", "-c", rest], check=True)
    last = len(lines()) - 1 - [word for word, _ in reversed(lines())].index("FROM")
    assert ("USER", "1000:1000") in lines()[last:]
    assert lines()[-2:] == [("ENTRYPOINT", '["selftaught"]'), ("CMD", '["--help"]')]


def test_an_image_is_made_of_files_that_are_there_and_let_in() -> None:
    let_in = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    told = dict(rest.split("=", 1) for word, rest in lines() if word == "ARG")
    for word, rest in lines():
        if word == "COPY" and not rest.startswith("--from"):
            for name in rest.replace("${PINS}", told["PINS"]).split()[:-1]:
                assert (ROOT / name).exists() and any(Path(name).match(pattern) for pattern in let_in), name
    extras = shlex.split(told["EXTRAS"])[0].split()
    assert {*extras} == {*EXTRAS} - {*LARGE} | {"text"}  # whose tokenizers are pinned
