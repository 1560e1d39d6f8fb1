"""What the fields of recipes are marked as: what resuming, recipe files, other commands and measuring make of them."""

from pathlib import Path
from typing import get_origin

import pytest

from selftaught.run.recipes import Check, Compare, Pretrain, Preview
from selftaught.run.recipes.fields import FieldError, Mark, Recipe
from selftaught.system.errors import UsageError

RECIPES = Recipe.__subclasses__()


SPEED = {"method", "also", "encoder", "views", "size", "batch_size", "encode_chunk", "adapt", "teacher", "teacher_size"}
SPEED |= {"suppress", "predict"}
FILLED_IN = {"draws", "fingerprint", "own_views", "teacher_fingerprint", "metadata_fingerprint", "method_fingerprint"}


@pytest.mark.parametrize(
    ("recipe", "marks", "names"),
    [
        (Pretrain, (Mark.COMMAND,), {"data", "out", "resume", "overwrite", "time_limit", "logger"}),
        (
            Pretrain,
            (Mark.FREE,),
            {"log_every", "checkpoint_every", "on_collapse", "map", "profile", "tolerance"}
            | {"workers", "memory", "cache", "remote_cache", "device", "devices", "shard"}
            | {"watch_labels", "watch_labels_csv", "metadata"},
        ),
        (Compare, (Mark.COMMAND,), {"data", "out", "resume", "time_limit"}),
        (Compare, (Mark.FREE,), {"devices", "workers", "memory", "cache", "remote_cache", "tolerance"}),
        (Pretrain, (Mark.SPEED,), SPEED),
        (Pretrain, (Mark.FILLED_IN,), FILLED_IN),
        (Recipe, (Mark.FILLED_IN,), FILLED_IN | {"beyond_test", "judged_by"}),
        (
            Recipe,
            (Mark.ONE_RUN,),
            {"data", "run", "out", "resume", "overwrite", "beyond_test", "judged_by"} | FILLED_IN,
        ),
    ],
)
def test_marks_say_what_lists_of_names_said(recipe: type[Recipe], marks: tuple[Mark, ...], names: set[str]) -> None:
    assert set(recipe.marked(*marks)) == names


def test_marks_whose_order_shows_are_in_it() -> None:
    assert Pretrain.marked(Mark.LENGTH) == ("epochs", "steps", "budget")  # as an error line names them
    handed = Check.marked(Mark.SHARED)  # as the suggested command says them
    assert handed[:5] == ("data", "method", "teacher", "teacher_size", "encoder")
    assert handed[5:10] == ("size", "window", "stride", "sampling_rate", "batch_size")
    assert handed[10:14] == ("epochs", "tokenizer", "vocabulary", "context")
    assert handed[14:] == ("tolerance", "label_column", "column", "range", "pages", "bands", "workers")
    taught = {"teacher", "teacher_size", "window", "stride", "sampling_rate", "tokenizer", "vocabulary", "context"}
    shared = {"data", "size", "limit", "tolerance", "label_column", "column", "precision", "layout", "workers"}
    shared |= {"memory", "cache", "remote_cache", "range", "pages", "bands", "views_for"}
    assert set(Compare.marked(Mark.SHARED)) == shared | taught
    shared = {
        "data",
        "method",
        "encoder",
        "views",
        "size",
        "limit",
        "tolerance",
        "column",
        "seed",
        "range",
        "pages",
        "bands",
        "views_for",
    }
    assert set(Preview.marked(Mark.SHARED)) == shared | taught


@pytest.mark.parametrize("recipe", [Check, Compare, Preview])
def test_what_is_handed_on_means_the_same_to_pretrain(recipe: type[Recipe]) -> None:
    for name in recipe.marked(Mark.SHARED):
        ours, theirs = recipe.model_fields[name], Pretrain.model_fields[name]
        assert (ours.is_required(), ours.default) == (theirs.is_required(), theirs.default), name
    given = recipe.parse({"data": "x", "size": 8})
    assert given.handed_on() == {"data": "x", "size": (8, 8)}
    assert Pretrain.parse(given.handed_on()) == Pretrain.parse({"data": "x", "size": "8"})


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_no_field_is_two_things_that_exclude_each_other(recipe: type[Recipe]) -> None:
    free = {*recipe.marked(Mark.FREE, Mark.COMMAND)}
    assert not free & {*recipe.marked(Mark.SPEED, Mark.LENGTH, Mark.FILLED_IN)}  # or a resumed run would differ
    assert not {*recipe.marked(Mark.FREE)} & {*recipe.marked(Mark.COMMAND)}
    assert {*recipe.marked(Mark.FILLED_IN)} <= {*recipe.marked(Mark.ONE_RUN)}
    assert recipe.marked() == ()


def test_a_field_of_one_name_is_marked_alike_in_all_commands_that_are_resumed() -> None:
    resumed = [Mark.FREE, Mark.COMMAND, Mark.ONE_RUN, Mark.FILLED_IN, Mark.LENGTH]
    for name in Compare.model_fields.keys() & Pretrain.model_fields.keys():
        both = [recipe.model_fields[name].metadata for recipe in (Compare, Pretrain)]
        assert [mark in both[0] for mark in resumed] == [mark in both[1] for mark in resumed], name


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_what_is_given_as_nothing_is_refused(recipe: type[Recipe], blank: str) -> None:
    filled_in = recipe.marked(Mark.FILLED_IN)  # which is no one's to give
    for name, field in recipe.model_fields.items():
        if get_origin(field.annotation) is dict or blank == field.default or name in filled_in:
            continue
        given = (blank,) if get_origin(field.annotation) is tuple else blank
        with pytest.raises(FieldError, match=f"^--{name.replace('_', '-')} is empty: .*say what it is to be$") as found:
            recipe.parse({name: given})
        assert found.value.field == name and ("leave it out, or" in str(found.value)) != field.is_required()


def test_a_file_of_before_that_says_nothing_of_a_field_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("data: x\ninit: ''\ngroups: ''\n")
    assert (Pretrain.load(tmp_path / "recipe.yaml").init or None) is None
    assert Pretrain.parse({"data": "x", "init": None}).init is None
    with pytest.raises(UsageError, match=r"^--groups is empty: leave it out, or say what it is to be$"):
        Pretrain.parse({"data": "x", "groups": ""})
