"""Recipes: what is parsed is what is saved is what is rebuilt."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from selftaught.commands.flags import RecipeCommand
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Recipe
from selftaught.run.settings import put
from selftaught.system.errors import UsageError

OPTIONS = {"method.width": "", "encoder.patch": ""}


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    recipe = Pretrain.parse(
        {
            "data": "photos",
            "method": {"name": "simclr", "options": {"temperature": 0.2}},
            "encoder": "resnet18",
            "views": {"strong": {"jitter": 0.4, "crop": [0.2, 1.0]}},
            "budget": "10m",
            "size": "48x64",
            "checkpoint_every": "5m",
        }
    )
    assert recipe.budget == 600 and recipe.size == (48, 64) and recipe.checkpoint_every == "300s"
    recipe.save(tmp_path / "recipe.yaml")
    assert Pretrain.load(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epocs": 3}, "did you mean 'epochs'"),
        ({"epochs": "many"}, "--epochs cannot be 'many'"),
        ({"batch_size": 0}, "--batch-size cannot be 0"),
        ({"size": "big"}, "a size looks like 32 or 48x64"),
        ({"budget": "soon"}, "a duration looks like"),
        ({"memory": "much"}, "a size looks like 500MB"),
        ({"batch_size": 1}, "a batch has two samples or more, or is auto"),
        ({"checkpoint_every": "often"}, "a duration looks like"),
        ({"precision": "8"}, "--precision cannot be '8'"),
        (
            {"method": {"name": "simclr", "temperature": 0.2}},
            "'temperature' is neither: write it under options, as in method: {name: ..., options: {temperature: 0.2}}",
        ),
        ({"encoder": {"name": "test_vit", "depth": 2}}, "encoder has a name and options, and 'depth' is neither"),
        ({"also": {"method": "rotation", "weigth": 1}}, "--also.weigth cannot be 1: extra inputs are not permitted"),
        ({"seed": True}, "--seed cannot be True: it is not true or false, which in YAML yes, no, on and off are, too"),
        ({"lr": True}, "--lr cannot be True: it is not true or false"),
        ({"size": [True, 32]}, "--size cannot be \\[True, 32\\]: it is not true or false"),
        ({"budget": False}, "--budget cannot be False: it is not true or false"),
        ({"also": {"method": "rotation", "weight": True}}, "--also.weight cannot be True: it is not true or false"),
        ({"batch_size": "1000000000"}, "^--batch-size cannot be 1000000000: input should be less than or equal to"),
        ({"also": "rotation:0"}, "^--also cannot be 'rotation:0': its weight is 0.0, and input should be greater than"),
        ({"budget": "0s"}, "^--budget cannot be '0s': input should be greater than 0$"),
        ({"grow": "2:0.5"}, "^--grow cannot be '2:0.5': its side is 2.0, and input should be less than or equal to 1"),
        ({"also": {"method": "rotation", "weight": 0}}, "^--also.weight cannot be 0: input should be greater than"),
        ({"steps": "1e9"}, "^--steps cannot be '1e9': a whole number is written in digits alone$"),
        ({"adapt": "last:9999"}, "^--adapt cannot be 'last:9999': last takes a number from 1 to 512$"),
        ({"adapt": "lora:0"}, "^--adapt cannot be 'lora:0': lora takes a number from 1 to 1,024$"),
        ({"shard": "1"}, "--shard cannot be '1': it is a number of processes from 2 to 1,048,576, none or auto"),
    ],
)
def test_a_bad_value_gets_one_line_that_names_it(values: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Pretrain.parse({"data": "x", **values})
    assert "\n" not in str(caught.value)


def test_what_the_system_fills_in_is_not_offered_for_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="pretrain has no option 'qqqq'; there are ") as caught:
        Pretrain.parse({"data": "x", "qqqq": 3})
    assert "fingerprint" not in str(caught.value) and "lr" in str(caught.value)


@pytest.mark.parametrize("recipe", Recipe.__subclasses__(), ids=lambda recipe: recipe.__name__)
def test_whatever_yaml_and_python_may_hold_is_taken_or_refused_in_one_line(recipe: type[Recipe]) -> None:
    asked = {name: str(info.annotation) for name, info in recipe.model_fields.items() if info.is_required()}
    needed = {name: ["x"] if "tuple" in annotation else "x" for name, annotation in asked.items()}
    for name in recipe.model_fields:
        for value in (None, [], [None], {}, date(2024, 1, 1), 5, 1.5, True, b"x", "9" * 300):
            try:
                recipe.parse({**needed, name: value})
            except UsageError as error:
                assert "\n" not in str(error)


def test_numbers_of_numpy_and_torch_are_plain_ones_wherever_they_stand(tmp_path: Path) -> None:
    said = {"data": "x", "size": np.int64(16), "epochs": np.float64(2), "training": {"lr": torch.tensor(0.5)}}
    said |= {"method": {"name": "simclr", "options": {"temperature": np.float32(0.25)}}}
    said |= {"views": {"strong": {"crop": [np.float32(0.5), 1.0]}}}
    recipe = Pretrain.parse(said)
    assert recipe.size == (16, 16) and recipe.training == {"lr": 0.5}
    recipe.save(tmp_path / "recipe.yaml")
    assert Pretrain.load(tmp_path / "recipe.yaml") == recipe
    with pytest.raises(UsageError, match="'training' cannot be an array"):
        Pretrain.parse({"data": "x", "training": {"betas": np.ones(2)}})


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("views: {strong: 3}", "views.strong.jitter"),
        ("views: [1]", "views.strong.jitter"),
        ("training: 5", "training.lr"),
        ("method: {name: simclr, options: [1]}", "method.width"),
    ],
)
def test_a_flag_among_what_holds_no_settings_gets_one_line(text: str, flag: str) -> None:
    values: dict[str, Any] = {"data": "x", **yaml.safe_load(text)}
    with pytest.raises(UsageError, match=rf"--{flag} finds no settings in [a-z.]+, which is "):
        put(values, flag, 0.5, Pretrain.model_fields)


def test_a_yaml_file_cannot_name_code(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("data: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        Pretrain.load(tmp_path / "recipe.yaml")


def test_resuming_takes_what_is_open_from_the_saved_recipe_and_refuses_changes() -> None:
    saved = Pretrain.parse({"data": "x", "method": "simclr", "epochs": 4, "batch_size": 64, "fingerprint": "f"})
    again = Pretrain.parse({"data": "moved/x", "resume": True, "out": "r", "log_every": 3}).continued(saved)
    assert (again.epochs, again.batch_size, again.data, again.log_every) == (4, 64, "moved/x", 3)
    assert again.fingerprint == "f" and again.resume
    Pretrain.parse({"data": "x", "epochs": 4}).continued(saved)
    with pytest.raises(UsageError, match=r"--epochs is 5.*started with 4"):
        Pretrain.parse({"data": "x", "epochs": 5}).continued(saved)
    with pytest.raises(UsageError, match=r"--lr is 0.1, but the run was started without it; leave it out"):
        Pretrain.parse({"data": "x", "lr": 0.1}).continued(saved)
    Pretrain.parse({"data": "x", "batch_size": None, "layout": "auto"}).continued(saved)  # which leave it open
    with pytest.raises(UsageError, match="--method is byol"):
        Pretrain.parse({"data": "x", "method": "byol"}).continued(saved)


def test_a_recipe_file_is_where_flags_start_from(tmp_path: Path) -> None:
    file = tmp_path / "start.yaml"
    file.write_text(
        "data: elsewhere\nmethod: byol\nencoder: {name: vit_tiny_patch16_224, options: {depth: 2}}\nsteps: 9\n"
    )
    made = []
    command = RecipeCommand(Pretrain, "data", lambda recipe, as_json: made.append(recipe), lambda chosen: OPTIONS)
    flags = ["photos", "--recipe", str(file), "--method.width", "8", "--encoder.patch", "4", "--epochs", "2"]
    command.main(flags, standalone_mode=False)
    assert made == [
        Pretrain.parse(
            {
                "data": "photos",
                "method": {"name": "byol", "options": {"width": 8}},
                "encoder": {"name": "vit_tiny_patch16_224", "options": {"depth": 2, "patch": 4}},
                "epochs": 2,
            }
        )
    ]


def test_a_recipe_file_may_leave_options_out_and_flags_may_come_before_the_data(tmp_path: Path) -> None:
    file = tmp_path / "start.yaml"
    file.write_text("method: {name: byol}\nviews:\n")
    made, seen = [], []

    def offered(chosen: dict[str, str]) -> dict[str, str]:
        seen.append(chosen["data"])
        return OPTIONS | {"views.strong.jitter": ""}

    command = RecipeCommand(Pretrain, "data", lambda recipe, as_json: made.append(recipe), offered)
    flags = ["--overwrite", "--recipe", str(file), "--method.width=8", "--views.strong.jitter", "0.5", "--out", "r"]
    command.main([*flags, "photos"], standalone_mode=False)
    assert seen == ["photos"] and made[0].data == "photos" and made[0].overwrite
    assert made[0].method.options == {"width": 8} and made[0].views == {"strong": {"jitter": 0.5}}


@pytest.mark.parametrize("text", [None, "- a\n", "a: b: c"])
def test_a_recipe_file_that_is_none_gets_one_line(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "start.yaml"
    if text:
        file.write_text(text)
    with pytest.raises(UsageError, match=r"--recipe .*start\.yaml (cannot be read|must hold)"):
        RecipeCommand(Pretrain, "data", print).main(["photos", "--recipe", str(file)], standalone_mode=False)


def test_a_value_that_stands_in_a_recipe_file_is_said_to(tmp_path: Path) -> None:
    file = tmp_path / "start.yaml"
    file.write_text("lr: fast\n")
    command = RecipeCommand(Pretrain, "data", lambda recipe, as_json: None)
    for words, line in (([], f"--recipe {file}: --lr cannot be 'fast'"), (["--lr", "slow"], "--lr cannot be 'slow'")):
        with pytest.raises(UsageError) as caught:
            command.main(["photos", "--recipe", str(file), *words], standalone_mode=False)
        assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epocs: 3\n", "pretrain has no option 'epocs'; did you mean 'epochs'?"),
        ("also: {weight: 0.5}\n", "--also.method is missing"),
        ("grow: {side: 0.5}\n", "--grow.steps is missing"),
        ("init: ''\n", "--init is empty: leave it out, or say what it is to be"),
    ],
)
def test_whatever_is_wrong_with_a_recipe_file_names_it(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "start.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        RecipeCommand(Pretrain, "data", print).main(["photos", "--recipe", str(file)], standalone_mode=False)
    assert str(caught.value) == f"--recipe {file}: {said}"


def test_a_saved_recipe_that_holds_no_settings_or_odd_ones_gets_one_line(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    for text, line in (
        ("- a\n", "recipe.yaml cannot be read: it must hold settings"),
        ("1: 2\n", "has no option '1'"),
        ("epochs: many\ndata: x\n", "recipe.yaml: --epochs cannot be 'many'"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=line):
            Pretrain.load(file)
