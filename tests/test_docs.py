"""The documentation's commands run as written, only shorter; its recipes are whole."""

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selftaught.commands.cli import run_command
from selftaught.commands.flags import settings
from selftaught.commands.table import COMMANDS
from selftaught.contracts import modality
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.views import Views
from selftaught.judging.subsets import FOLDS
from selftaught.methods import registry
from selftaught.run import layout
from selftaught.run.recipes import Demo, Evaluate, Pretrain
from selftaught.system import components
from selftaught.training.presets import training_preset

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT) for place in (ROOT, ROOT / "docs", ROOT / "docs/guides") for page in place.glob("*.md")
)
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


def test_the_page_of_own_methods_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/guides/own-method.md").read_text()
    block = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0].replace('"photos/"', "pixels")
    for whole, quick in (
        ('encoder="resnet18", epochs=20', "encoder='test_resnet', steps=2, batch_size=8, precision='32-true', map=0"),
        ('["simclr", Brighter], budget="20m", train="labelled/"', "wider['name'], epochs=1, seeds=1, rungs=1"),
    ):
        assert whole in block
        block = block.replace(whole, quick)
    names: dict[str, Any] = {"pixels": np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)}
    exec(block, names)
    assert names["run"].metrics()[0]["terms"].keys() == {"loss"}
    assert [place.method for place in names["ranked"].ranking] == ["python:Brighter"]


def test_the_readme_lists_every_command() -> None:
    listed = (ROOT / "README.md").read_text(encoding="utf-8").partition("The commands:")[2].partition(". `--help`")[0]
    assert [word.strip("`") for word in re.split(r",\s+", listed.strip())] == [
        f"selftaught {name}" for name in COMMANDS
    ]


def test_every_method_is_measured_on_the_pages_that_the_readme_names() -> None:
    (line,) = re.findall(r"^.*every method measured: (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    told = "".join((ROOT / page).read_text("utf-8") for page in re.findall(r"\]\((docs/results/\w+\.md)\)", line))
    assert [name for name in registry.places() if not re.search(rf"\b{name}\b", told)] == []


@pytest.mark.parametrize("page", ["README.md", "docs/guides/ten-minutes.md"])
def test_pages_say_how_many_networks_fine_tuning_trains(page: str) -> None:
    rounds = Evaluate.model_fields["repeats"].default
    kinds = 2  # the run's, and one from scratch
    said = f"# {kinds * rounds * FOLDS} networks or more, {kinds * rounds} with --test"
    asking = [line for line in (ROOT / page).read_text("utf-8").splitlines() if re.search(r"--probe \S*finetune", line)]
    assert len(asking) == 1 and said in asking[0]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_page_ends_in_the_middle_of_a_sentence(page: Path) -> None:
    last = (ROOT / page).read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
    assert re.search(r"[.:!?)]$|[|`]$|-->$", last), last  # a sentence, or a table, a block of code or a mark


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_of_prose_are_no_longer_than_those_of_code(page: Path) -> None:
    """Tables, pictures and what is typed may be."""
    prose = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL).splitlines()
    assert not [line for line in prose if len(line) > 120 and not line.startswith(("|", "!["))]


def test_every_variable_of_the_environment_is_told_of() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    between_processes = {"SELFTAUGHT_LAST_WORDS"}  # which nobody sets by hand
    page = (ROOT / "docs/guides/systems.md").read_text(encoding="utf-8").partition("## Where things are kept")[2]
    named = {*re.findall(r'"(SELFTAUGHT_[A-Z_]+)"', code)} - between_processes
    assert {*re.findall(r"^\| `(SELFTAUGHT_[A-Z_]+)` \|", page, re.MULTILINE)} == named


def test_the_page_of_the_code_names_whatever_a_run_folder_holds() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    block = page.partition("## A run folder")[2].split("```")[1]
    held = {*layout.ALL, *layout.FOLDERS, *layout.WITHOUT_LOCK, *layout.MODEL, *layout.BESIDE}
    assert sorted(name for name in held if not re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", block)) == []


def test_cleaning_up_removes_nobodys_runs() -> None:
    (line,) = re.findall(r"^clean:\n\trm -rf ([^#\n]*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    removed = line.split()
    assert Demo().out in removed and not {"runs", "runs/", "runs/*"} & set(removed)


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
    kind = modality.named(registry.kind_of(method))
    with torch.device("meta"):
        encoder = kind.build_encoder(recipe.encoder, kind.guess(recipe.size, recipe.encoder))
    assert not method.needs_tokens or hasattr(encoder, "tokens")
    for view, options in recipe.views.items():
        assert view in kind.view_options() and set(options) <= set(kind.view_options()[view])


SINES, KIND = {"positions": "sincos"}, "method"
PAPERS = [  # what presets do otherwise, and the papers, or their authors' code, do so
    ("mae", "encoder", {**SINES, "init": "xavier"}),
    ("mae", KIND, {"decoder_init": "xavier"}),
    ("mocov3", "encoder", {**SINES, "init": "xavier_each"}),
    ("mocov3_resnet", KIND, {"projector_layers": 2, "predictor_norm": False, "views_apart": True}),
    ("ijepa", "encoder", {**SINES, "class_token": False}),
    ("ijepa", KIND, {"collator": "authors"}),
    ("bootleg", "encoder", {**SINES, "class_token": False}),
    ("aim", "encoder", {**SINES, "class_token": False}),
    ("simmim", "encoder", {"positions": "relative"}),
    ("simmim", "training", {"drops": [0.875]}),
    ("data2vec", KIND, {"blocks": "grown"}),
    ("dino", KIND, {"last_layer": "uniform", "norm_last_layer": False}),
    ("dinov2", KIND, {"last_layer": "uniform", "norm_last_layer": False, "blocks": "grown", "koleo_weight": 0.1}),
    ("ibot", KIND, {"last_layer": "uniform", "norm_last_layer": False, "blocks": "grown"}),
    ("barlow_twins", "training", {"lr": 0.2, "bias_lr": 0.0048}),
    ("barlow_twins", KIND, {"scale_loss": 1.0, "views_apart": True}),
    ("colorization", "training", {"optimizer": "adam", "weight_decay": 1e-3}),
    ("colorization", KIND, {"colours": "all"}),
    ("relative_location", KIND, {"dropped": "noise"}),
    ("denoising", KIND, {"level": 0.25}),
    ("wmse", KIND, {"epsilon": 0.0, "views_apart": True}),
    ("mmcr", KIND, {"asymmetric": True}),
    ("emp_ssl", KIND, {"patches": 20}),
    ("visreg", KIND, {"lambd": 0.9}),
]
COLOURS = [  # the largest change of hue and of saturation, and how often a view is blurred and solarised
    ("mmcr", "strong", (0.1, 0.2, 1.0, 0.0)),
    ("mmcr", "strong_other", (0.1, 0.2, 0.1, 0.2)),
    ("lejepa", "global", (0.1, 0.2, 0.5, 0.2)),
    ("lejepa", "local", (0.1, 0.2, 0.5, 0.2)),
    ("visreg", "global", (0.05, 0.2, 0.5, 0.2)),
    ("visreg", "local", (0.05, 0.2, 0.5, 0.2)),
    ("frossl", "strong", (0.1, 0.4, 0.0, 0.0)),
    ("emp_ssl", "strong", (0.2, 0.4, 0.1, 0.1)),
    ("pirl", "strong", (0.2, 0.4, 0.0, 0.0)),
    ("pirl", "light", (0.2, 0.4, 0.0, 0.0)),
]


@pytest.mark.parametrize(("name", "place", "wanted"), PAPERS, ids=[f"{name}-{place}" for name, place, _ in PAPERS])
def test_recipes_undo_what_presets_do_otherwise(name: str, place: str, wanted: dict[str, Any]) -> None:
    recipe = Pretrain.parse({"data": "x", **settings(str(ROOT / f"recipes/{name}_paper.yaml"))})
    found = recipe.training if place == "training" else getattr(recipe, place).options
    assert found.items() >= wanted.items()
    if place == "training":
        return
    built = registry.method_class(recipe.method.name) if place == KIND else modality.named("images").create
    usual = components.options(built)
    assert all(value != usual[key].default for key, value in wanted.items())


@pytest.mark.parametrize(("name", "view", "wanted"), COLOURS, ids=[f"{name}-{view}" for name, view, _ in COLOURS])
def test_recipes_change_colours_as_the_authors_do(name: str, view: str, wanted: tuple[float, ...]) -> None:
    recipe = Pretrain.parse({"data": "x", **settings(str(ROOT / f"recipes/{name}_paper.yaml"))})
    size = Preparation(channels=3, size=(224, 224), low=0, high=255, mean=(0.5,) * 3, std=(0.2,) * 3)
    made = Views((view,), size, options=recipe.views).augmentations[view]
    assert (made.hue * made.jitter, made.saturation * made.jitter, made.blur, made.solarise) == pytest.approx(wanted)


def test_every_method_has_its_papers_settings() -> None:
    named = {
        Pretrain.parse({"data": "x", **settings(str(file))}).method.name
        for file in (ROOT / "recipes").glob("*_paper.yaml")
    }
    assert named >= set(registry.places())


def test_the_rooms_are_drawn_as_they_are() -> None:
    assert (ROOT / "docs/rooms.svg").read_text() == runpy.run_path(str(ROOT / "docs/rooms.py"))["picture"]()
