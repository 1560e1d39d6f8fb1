"""--views-for: a preset by what images show, under what was said of each view; what cannot be asked then is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.data.images.presets import VIEWS_FOR
from selftaught.judging.bench import Bench
from selftaught.run.plan import Plan
from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.interruption import Stop
from selftaught.training.resolve import preflight
from selftaught.training.views import options_of

IMAGES = modality.named("images")
QUICK = {"encoder": "test_resnet", "steps": 1, "batch_size": 4, "size": 16, "precision": "32-true", "map": 0}


def asked(**values: Any) -> Pretrain:
    return Pretrain.parse({"data": "tiles", **values})


def test_what_is_said_of_a_view_wins_over_the_preset_and_nothing_named_is_nothing() -> None:
    recipe = asked(views_for="satellite", views={"strong": {"turn": 0.25}, "local": {"jitter": 0.1}})
    made = options_of(recipe, IMAGES, ("strong", "strong_other", "index"))
    assert set(made) == {"strong", "strong_other", "local"}
    assert made["strong"] == {**VIEWS_FOR["satellite"]["strong"], "turn": 0.25}
    assert made["local"] == {**VIEWS_FOR["satellite"]["local"], "jitter": 0.1}
    assert options_of(asked(), IMAGES, ("strong",)) == options_of(asked(views_for="photo"), IMAGES, ("strong",)) == {}
    assert Compare.parse({"data": "tiles", "views_for": "xray"}).handed_on()["views_for"] == "xray"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"views_for": "satellite", "method": "rotation"},
            "rotation asks which way is up, and with --views.light.turn 0.75, which --views-for satellite has, nothing",
        ),
        (
            {"views": {"light": {"flip_vertical": 0.5}}, "method": "rotation"},
            "rotation asks which way is up, and with --views.light.flip_vertical 0.5 nothing tells that",
        ),
        ({"views_for": "texture", "also": "rotation:0.4"}, "rotation asks which way is up"),
        ({"views_for": "xray", "method": "colorization"}, "colorization asks about colours, and with --views.light.gr"),
        ({"views_for": "xray", "data": "sklearn:wine"}, "--views-for xray is for images, and sklearn:wine holds rows"),
        ({"views_for": "photo", "data": "sklearn:wine"}, "--views-for photo is for images"),
    ],
)
def test_what_nothing_is_left_of_is_not_asked_for(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        preflight(asked(**values), None)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_comparison_is_refused_before_its_runs_are() -> None:
    with pytest.raises(UsageError, match="--views-for xray is for images, and sklearn:wine holds rows"):
        Bench(Compare.parse({"data": "sklearn:wine", "views_for": "xray"}), {}, Stop())


@pytest.mark.parametrize("method", ["rotation", "colorization"])
def test_what_is_left_can_be_asked_for(method: str) -> None:
    preflight(asked(views_for="document", method=method), None)
    turned = {"views_for": "satellite", "views": {"light": {"turn": 0.0}}}
    preflight(asked(method=method, **turned), None)


def test_a_run_keeps_its_preset_and_goes_on_with_no_other(tmp_path: Path) -> None:
    bands = tmp_path / "bands.npz"
    np.savez(bands, x=np.random.default_rng(0).integers(0, 4000, (12, 20, 20, 5)).astype(np.uint16))
    out = tmp_path / "run"
    run = selftaught.pretrain(bands, out=out, views_for="satellite", views={"strong": {"jitter": 0.1}}, **QUICK)
    saved = Plan.load(out / "recipe.yaml")
    assert saved.views_for == "satellite" and saved.views == {"strong": {"jitter": 0.1}}
    assert run.recipe.views_for == "satellite"
    again = asked(**saved.model_dump(mode="json") | {"data": str(bands)})
    assert options_of(again, IMAGES, ("strong",))["strong"]["turn"] == 0.75
    flags = ["pretrain", str(bands), "--out", str(out), "--resume", "--views-for", "texture"]
    assert run_command(flags) == 2


def test_preview_shows_the_views_of_the_preset_and_help_their_options(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seen.html"
    flags = [str(photos), "--views-for", "document", "--encoder", "test_resnet", "--size", "16", "--samples", "2"]
    assert run_command(["preview", *flags, "--out", str(out)]) == 0
    assert "--views.strong.blur_sigma" in out.read_text() and "0.6" in out.read_text()
    capsys.readouterr()
    assert run_command(["preview", *flags, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--views.strong.crop VALUE default: 0.4,1.0" in told
    assert run_command(["preview", str(photos), "--views-for", "xrays"]) == 2
    assert "--views-for cannot be 'xrays': input should be 'photo', 'satellite'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "values",
    [
        {"views": {"strong": {"jitter": True}}},
        {"training": {"lr": True}},
        {"method": {"name": "simclr", "options": {"temperature": True}}},
        {"encoder": {"name": "test_resnet", "options": {"filters": True}}},
    ],
)
def test_true_is_no_number_where_a_run_begins_and_one_that_began_so_goes_on(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"option '[a-z]+' cannot be True: it is a"):
        preflight(asked(**values), None)
    preflight(asked(**values).model_copy(update={"fingerprint": "begun"}), None)


@pytest.mark.parametrize("every", ["0", "0s"])
def test_a_checkpoint_at_every_step_is_not_begun_with_by_a_zero(every: str) -> None:
    recipe = asked(checkpoint_every=every)
    with pytest.raises(UsageError, match=f"--checkpoint-every cannot be {every}: it is steps"):
        preflight(recipe, None)
    preflight(recipe.model_copy(update={"fingerprint": "begun"}), None)
