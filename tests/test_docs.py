"""The documentation's commands run as written, only shorter; its recipes are whole."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from selftaught.commands.cli import run_command
from selftaught.commands.flags import settings
from selftaught.contracts import modality
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.system import components
from selftaught.training.resolve import training_preset

ROOT = Path(__file__).parent.parent
SMALLER = {"resnet18": "test_resnet", "vit_tiny_patch16_224": "test_vit"}


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("selftaught ")]


def shortened(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    words = [SMALLER.get(word, word) for word in words]
    if words[0] == "pretrain":
        words[words.index("--epochs") : words.index("--epochs") + 2] = ["--steps", "2"]
        words += ["--limit", "16", "--batch-size", "8", "--precision", "32-true", "--layout", "contiguous"]
        words += ["--size", "32"] if words[1] == "sklearn:photos" else []
    if words[0] == "preview":
        words += ["--samples", "4", "--size", "32"]
    if words[0] == "evaluate":
        words += ["--repeats", "1"]
    return words


def test_the_lectures_commands_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands("the-lecture.md")
    assert len(found) >= 8
    for command in found:
        assert run_command(shortened(command)) == 0, command


def test_the_pages_python_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "scikit-learn.md").read_text(), re.DOTALL)
    for whole, quick in (
        ("load_digits(return_X_y=True)", "(part[:200] for part in load_digits(return_X_y=True))"),
        ("resnet18", "test_resnet"),
        ("SelfTaughtEncoder(epochs", "SelfTaughtEncoder(encoder='test_resnet', epochs"),
        ("epochs=20", "steps=2, batch_size=16, precision='32-true', layout='contiguous'"),
    ):
        assert whole in block
        block = block.replace(whole, quick)
    names: dict[str, Any] = {}
    exec(block, names)
    assert len(names["features"]) == 200 and not list(tmp_path.iterdir())


def test_the_lecture_names_every_method_of_its_families() -> None:
    told = (ROOT / "docs" / "the-lecture.md").read_text()
    assert all(f"`{place.name}`" in told for place in registry.places().values())


@pytest.mark.parametrize("file", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_can_be_built(file: Path) -> None:
    recipe = Pretrain.parse({"data": "anything", **settings(str(file))})
    method = registry.method_class(recipe.method.name)
    components.checked(f"method {recipe.method.name}", method, recipe.method.options)
    training_preset(method, recipe)
    assert recipe.encoder and (recipe.epochs or recipe.steps or recipe.budget or "hour" in file.stem)
    images = modality.named("images")
    with torch.device("meta"):
        encoder = images.build_encoder(recipe.encoder, images.guess(recipe.size, recipe.encoder))
    assert not method.needs_tokens or hasattr(encoder, "tokens")
    for view, options in recipe.views.items():
        assert view in images.view_options() and set(options) <= set(images.view_options()[view])


def test_every_method_has_its_papers_settings() -> None:
    named = {
        Pretrain.parse({"data": "x", **settings(str(file))}).method.name
        for file in (ROOT / "recipes").glob("*_paper.yaml")
    }
    assert named >= set(registry.places())
