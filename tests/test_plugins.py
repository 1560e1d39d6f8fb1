"""A method of somebody else's: one file in a package of the same layout, and nothing else."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import selftaught
from selftaught.commands.cli import run_command
from selftaught.commands.listing import methods
from selftaught.judging.entrants import methods_named
from selftaught.methods import registry
from selftaught.methods.registry import places
from selftaught.run.recipes import Methods
from selftaught.system.errors import UsageError

METHOD = '''
"""Negative: say which images were turned into their negatives."""

import torch
import torch.nn.functional as F
from torch import nn

from selftaught import Method, randomness


class Negative(Method):
    """Half of the images are inverted; the network says which."""

    question = "Is this a negative?"
    paper = "https://example.org"
    views = ("light",)
    needs_images = True

    def __init__(self, encoder, data, /, *, share: float = 0.5) -> None:
        super().__init__(encoder, data)
        self.share, self.classifier = share, nn.Linear(encoder.dim, 1)

    def forward(self, *views):
        x = views[0]
        turned = randomness.uniform((len(x), 1, 1, 1), "negative", x.device) < self.share
        scores = self.classifier(self.encoder(torch.where(turned, -x, x)))[:, 0]
        return {"cross_entropy": F.binary_cross_entropy_with_logits(scores.float(), turned[:, 0, 0, 0].float())}
'''


OURS = ("simclr", "mae", "vicreg")


def package(root: Path, methods: dict[str, str]) -> Path:
    """A site folder with a package of these methods in it, by family/kind/name, installed as pip would."""
    theirs = root / "site" / "their_methods"
    for place, method in methods.items():
        file = (theirs / place).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(method)
        for folder in (file.parent, file.parent.parent, theirs):
            (folder / "__init__.py").write_text("")
    facts = root / "site" / "their_methods-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-methods\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[selftaught.methods]\ntheirs = their_methods\n")
    return root / "site"


def printed(site: Path, commands: list[list[str]]) -> list[Any]:
    """What commands print in a process that has the package: one for all, as to start it takes longer than they do."""
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from selftaught.commands.cli import run_command\n"
        "for words in json.loads(sys.argv[2]):\n"
        "    assert run_command(words) == 0, words\n"
        "    print('END', flush=True)\n"
    )
    lines = json.dumps([[*words, "--json"] for words in commands])
    ran = subprocess.run(
        [sys.executable, "-c", script, str(site), lines], stdout=subprocess.PIPE, check=True, text=True
    )
    return [json.loads(one) for one in ran.stdout.split("END\n")[:-1]]


def training(name: str, photos: Path, out: Path, *more: str) -> list[str]:
    encoder = "test_vit" if name.endswith("mae") else "test_resnet"
    quick = ["--encoder", encoder, "--size", "16", "--steps", "2", "--batch-size", "8", "--precision", "32-true"]
    words = ["--method", name, *quick, "--layout", "contiguous", *more, "--out", str(out / name)]
    return ["pretrain", str(photos), *words]


def test_a_file_in_a_plugin_package_is_a_method_and_so_is_one_of_ours_unchanged(photos: Path, tmp_path: Path) -> None:
    files = {"self_prediction/augmented/negative": METHOD}
    for name in OURS:
        place = places()[name]
        ours = Path(selftaught.__file__).parent.joinpath(*place.module.split(".")[1:]).with_suffix(".py")
        files[f"{place.family}/{place.kind}/copied_{name}"] = ours.read_text()
    copies = [training(f"copied_{name}", photos, tmp_path) for name in OURS]
    wanted = [["methods"], training("negative", photos, tmp_path, "--method.share", "0.25"), *copies]
    methods, *runs = printed(package(tmp_path, files), wanted)
    listed = next(m for m in methods if m["name"] == "negative")
    assert listed["kind"] == "augmented" and listed["options"] == [{"name": "share", "type": "float", "default": 0.5}]
    assert [run["steps"] for run in runs] == [2] * (1 + len(OURS))


def test_a_broken_package_of_methods_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "raise RuntimeError('nor tomorrow')"
    site = package(tmp_path, {"self_prediction/augmented/negative": METHOD, "contrastive/negatives/file": broken})
    (site / "single.py").write_text("")
    (site / "broken").mkdir()
    (site / "broken" / "__init__.py").write_text("raise RuntimeError('not today')")
    points = ("a = gone", "b = broken", "c = single", "theirs = their_methods")
    (site / "their_methods-1.0.dist-info" / "entry_points.txt").write_text("\n".join(["[selftaught.methods]", *points]))
    monkeypatch.syspath_prepend(site)
    registry._installed.cache_clear()
    try:
        assert places()["negative"].module == "their_methods.self_prediction.augmented.negative"
        assert places()["mae"].module.startswith("selftaught.")
        listed = {method["name"] for method in methods(Methods())}
        assert {"negative", "mae"} <= listed and "file" not in listed
        assert methods_named("self_prediction,negative").count("negative") == 1
    finally:
        registry._installed.cache_clear()
    said = capsys.readouterr().err
    for name, why in (("a", "ModuleNotFoundError"), ("b", "RuntimeError: not today"), ("c", "AttributeError")):
        assert f"warning: the package of methods {name} is left out: {why}" in said
    assert "warning: the method file is left out: RuntimeError: nor tomorrow" in said
    assert said.count("warning") == 5  # the last one as often as all are asked for


BROKEN = {
    "syntax": (METHOD.replace("def forward(self, *views):", "def forward(self, *views)"), r"SyntaxError: expected ':'"),
    "lacking": (f"import nowhere_to_be_found\n{METHOD}", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    "unfinished": (METHOD.replace("def forward", "def forwards"), "Negative is no whole method: it has no forward"),
    "misspelt": (METHOD.replace('"light"', '"lihgt"'), "no view named 'lihgt'; did you mean 'light'"),
}


@contextmanager
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, the package in a site folder is installed, and no other of its name has been imported."""
    monkeypatch.syspath_prepend(site)
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_methods"]:
        monkeypatch.delitem(sys.modules, name)
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_methods"]:
        del sys.modules[name]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a package is whose methods are broken, each in its own way."""
    site = package(tmp_path, {f"self_prediction/augmented/{name}": file for name, (file, _) in BROKEN.items()})
    with installed(site, monkeypatch):
        yield site


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_method_that_is_asked_for_is_refused_in_one_line_that_names_its_file(
    name: str, broken: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (training(name, photos, tmp_path), ["pretrain", "--method", name, "--help"]):
        assert run_command(words) == UsageError.exit_code
        said = capsys.readouterr().err
        assert BROKEN[name][1] in said and len(said.splitlines()) == 1
        assert name == "misspelt" or (f"the method {name} cannot be used: " in said and f"{name}.py" in said)


def test_a_bug_of_a_plugged_in_package_is_told_as_its_own(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = METHOD.replace("x = views[0]", "x = views[0].nothing_such")
    line = wrong.splitlines().index("        x = views[0].nothing_such") + 1
    with installed(package(tmp_path, {"self_prediction/augmented/negative": wrong}), monkeypatch):
        assert run_command(training("negative", photos, tmp_path)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: this is a bug, of their_methods as it seems (")
    assert f"negative.py, line {line}): AttributeError: " in said


def test_a_broken_method_is_none_to_choose_from(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no method named 'qqqq'; there are ") as told:
        registry.method_class("qqqq")
    assert "unfinished" not in str(told.value) and " more" not in str(told.value) and "vime" in str(told.value)
    assert "warning: the method unfinished is left out: Negative is no whole" in capsys.readouterr().err


def test_a_file_that_is_not_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One by a name of ours, and one beside the folders; what helps others and defines no method needs no word."""
    site = package(tmp_path, {"self_prediction/augmented/mae": METHOD, "contrastive/negatives/helped": METHOD})
    theirs = site / "their_methods"
    (theirs / "flat.py").write_text(METHOD)
    (theirs / "helping.py").write_text("raise RuntimeError('it is read and not run')")
    with installed(site, monkeypatch):
        assert places()["mae"].module.startswith("selftaught.") and "flat" not in places() and "helped" in places()
    said = capsys.readouterr().err.splitlines()
    assert sorted(said) == [
        "warning: the method mae of their_methods.self_prediction.augmented.mae is not used: "
        "selftaught.methods.self_prediction.masked.mae has that name already",
        "warning: their_methods.flat defines a method that is not used: it is to lie in their_methods/family/kind/",
    ]


def test_only_methods_import_by_the_public_names() -> None:
    """Everything else imports from below; the face hands on what is above, and would be a way round the floors."""
    root = Path(selftaught.__file__).parent
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "selftaught":
                assert file.is_relative_to(root / "methods"), file
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file} imports by dots"


def test_the_face_is_what_it_says() -> None:
    for name in selftaught.__all__:
        assert getattr(selftaught, name) is not None
    assert "Run" in dir(selftaught) and not hasattr(selftaught, "cli")
