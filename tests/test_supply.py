"""What this package is built on: all that is imported is declared, all that is installed is pinned by its hash."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools import supply

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
THEIRS = {"tensorboard", "onnx"}  # which torch imports for us
# Which bring more than all else, and are not pinned.
LARGE = ("tensorboard", "wandb", "mlflow", "trackio", "executorch", "series", "text")
THERE = {"IPython"}  # which is asked alone where it has begun the process: a notebook
# What a user may add:
EXTRAS = (
    *("export", "parquet", "fast", "tensorboard", "remote", "science", "dicom", "heif", "jxl", "hdf5", "zarr"),
    *("nvjpeg", "audio", "series", "text", "wandb", "mlflow", "trackio", "executorch", "search"),
)


def declared(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(need.name): need for need in map(Requirement, lines)}


def here(needs: dict[str, Requirement]) -> dict[str, Requirement]:
    """Those that concern this system."""
    return {name: need for name, need in needs.items() if need.marker is None or need.marker.evaluate()}


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """Names of top packages of others that these statements import, at any depth."""
    for node in (inner for statement in body for inner in ast.walk(statement)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        for top in {module.partition(".")[0] for module in modules}:
            if top != "selftaught" and top not in sys.stdlib_module_names:
                yield top


def packages(tops: set[str]) -> set[str]:
    """Whose modules these are."""
    known = packages_distributions()
    return {canonicalize_name(name) for top in tops for name in known.get(top, [top])}


def modules() -> Iterator[list[ast.stmt]]:
    for file in sorted((ROOT / "src").rglob("*.py")):
        yield ast.parse(file.read_text()).body


def test_all_that_is_imported_is_declared_and_all_that_is_declared_is_imported() -> None:
    needed = set(declared(PROJECT["dependencies"]))
    extra = {name for group in EXTRAS for name in declared(PROJECT["optional-dependencies"][group])}
    used = packages({top for body in modules() for top in imported(body)} - THERE)
    assert used - needed - extra == set()
    assert (needed | extra) - used - THEIRS == set()


def test_what_an_extra_brings_is_imported_where_it_may_be_missing() -> None:
    needed = set(declared(PROJECT["dependencies"]))
    # What a module imports at once, and in no `try`, is there wherever the package is.
    at_once = {
        top
        for body in modules()
        for top in imported([one for one in body if isinstance(one, ast.Import | ast.ImportFrom)])
    }
    assert packages(at_once) <= needed


def test_tests_and_benchmarks_import_what_the_extra_for_developers_has() -> None:
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(line for group in (*EXTRAS, "notebooks", "dev", "bench") for line in extras[group]),
    ]
    folders = [ROOT / name for name in ("tests", "bench", "tools", "docs")]
    bodies = [ast.parse(file.read_text()).body for folder in folders for file in folder.rglob("*.py")]
    own = {"tests", "tools", "bench", *(file.stem for folder in folders for file in folder.glob("*.py"))}
    used = {top for body in bodies for top in imported(body)} - own
    assert packages(used) - set(declared(lines)) == set()


def test_every_pin_has_hashes_fits_what_is_declared_and_names_no_server() -> None:
    text = supply.PINS.read_text()
    assert "://" not in text and "--index-url" not in text and "--find-links" not in text
    pins = supply.pinned(text)
    groups = (*(name for name in EXTRAS if name not in LARGE), "dev")
    lines = [*PROJECT["dependencies"], *(one for name in groups for one in PROJECT["optional-dependencies"][name])]
    wanted = {name: need for name, need in here(declared(lines)).items() if name != supply.OWN}
    assert wanted.keys() <= pins.keys()
    for name, need in wanted.items():
        assert need.specifier.contains(pins[name]["version"], prereleases=True), name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch==2.0", "no hashes"),
        ("torch==2.0 --hash=sha256:123", "no hashes"),
        ("torch>=2 --hash=sha256:" + "0" * 64, "not one version"),
    ],
)
def test_a_pin_that_pins_nothing_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        supply.pinned(line)


def test_a_package_that_is_not_as_it_was_pinned_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = supply.pinned(supply.PINS.read_text())
    found = {name: one.version for name, one in supply.installed().items()}
    lines = [f"{name}=={version} --hash=sha256:{'0' * 64}" for name, version in found.items() if name != "numpy"]
    (tmp_path / "constraints.txt").write_text("\n".join([*lines, f"absent==1.0 --hash=sha256:{'0' * 64}"]))
    monkeypatch.setattr(supply, "PINS", tmp_path / "constraints.txt")
    told = [line for line in supply.differences() if "constraints.txt has" in line]
    assert told == [
        "absent: constraints.txt has 1.0, and nothing is installed",
        f"numpy: constraints.txt has nothing, and {found['numpy']} is installed",
    ]
    assert "numpy" in real


def test_the_bill_names_all_that_is_installed_and_what_each_needs(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    subprocess.run([sys.executable, str(ROOT / "tools" / "supply.py"), "bill", str(file)], check=True)
    told = json.loads(file.read_text())
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["component"]["name"] == supply.OWN
    parts = {part["name"]: part for part in told["components"]}
    assert parts.keys() == supply.installed().keys() - {supply.OWN}
    references = {part["bom-ref"] for part in [*parts.values(), told["metadata"]["component"]]}
    needs = {one["ref"]: set(one["dependsOn"]) for one in told["dependencies"]}
    assert needs.keys() == references and all(wanted <= references for wanted in needs.values())
    own = needs[told["metadata"]["component"]["bom-ref"]]
    assert own == {parts[name]["bom-ref"] for name in here(declared(PROJECT["dependencies"]))}
    assert parts["numpy"]["purl"].startswith("pkg:pypi/numpy@") and parts["numpy"]["licenses"]
