"""A method of somebody else's: one file in a package of the same layout, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

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


def test_a_file_in_a_plugin_package_is_a_method(photos: Path, tmp_path: Path) -> None:
    package = tmp_path / "site" / "their_methods"
    kind = package / "self_prediction" / "augmented"
    kind.mkdir(parents=True)
    for folder in (package, package / "self_prediction", kind):
        (folder / "__init__.py").write_text("")
    (kind / "negative.py").write_text(METHOD)
    facts = tmp_path / "site" / "their_methods-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-methods\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[selftaught.methods]\ntheirs = their_methods\n")
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from selftaught.commands.cli import main; main()"

    def call(*words: str) -> str:
        command = [sys.executable, "-c", script, str(tmp_path / "site"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    listed = next(m for m in json.loads(call("methods", "--json")) if m["name"] == "negative")
    assert listed["kind"] == "augmented" and listed["options"] == [{"name": "share", "type": "float", "default": 0.5}]
    quick = ["--encoder", "test_resnet", "--steps", "2", "--batch-size", "8", "--precision", "32-true"]
    quick += ["--layout", "contiguous", "--method.share", "0.25", "--out", str(tmp_path / "run"), "--json"]
    assert json.loads(call("pretrain", str(photos), "--method", "negative", *quick))["steps"] == 2
