"""A method of somebody else's: one file in a package of the same layout, and nothing else."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import selftaught
from selftaught.methods.registry import places

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


def package(root: Path, name: str, family: str, kind: str, method: str) -> Path:
    """A site folder with a package of one method in it, installed as pip would."""
    folder = root / "site" / "their_methods" / family / kind
    folder.mkdir(parents=True)
    for parent in (folder, folder.parent, folder.parent.parent):
        (parent / "__init__.py").write_text("")
    (folder / f"{name}.py").write_text(method)
    facts = root / "site" / "their_methods-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-methods\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[selftaught.methods]\ntheirs = their_methods\n")
    return root / "site"


def call(site: Path, *words: str) -> Any:
    """What a command of a process that has the package prints."""
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from selftaught.commands.cli import main; main()"
    command = [sys.executable, "-c", script, str(site), *words, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def pretrained(site: Path, name: str, photos: Path, out: Path, *more: str) -> Any:
    encoder = "test_vit" if name.endswith("mae") else "test_resnet"
    quick = ["--encoder", encoder, "--size", "32", "--steps", "2", "--batch-size", "8", "--precision", "32-true"]
    words = ["--method", name, *quick, "--layout", "contiguous", *more, "--out", str(out / "run")]
    return call(site, "pretrain", str(photos), *words)


def test_a_file_in_a_plugin_package_is_a_method(photos: Path, tmp_path: Path) -> None:
    site = package(tmp_path, "negative", "self_prediction", "augmented", METHOD)
    listed = next(m for m in call(site, "methods") if m["name"] == "negative")
    assert listed["kind"] == "augmented" and listed["options"] == [{"name": "share", "type": "float", "default": 0.5}]
    assert pretrained(site, "negative", photos, tmp_path, "--method.share", "0.25")["steps"] == 2


@pytest.mark.parametrize("name", ["simclr", "mae", "vicreg"])
def test_a_file_of_ours_is_a_plugin_unchanged(name: str, photos: Path, tmp_path: Path) -> None:
    place = places()[name]
    ours = Path(selftaught.__file__).parent.joinpath(*place.module.split(".")[1:]).with_suffix(".py")
    site = package(tmp_path, f"copied_{name}", place.family, place.kind, ours.read_text())
    assert pretrained(site, f"copied_{name}", photos, tmp_path)["steps"] == 2


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
