"""Every option of every method, encoder, view and training at its bounds and beyond: beyond them nothing is built."""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.contracts.method import Training
from selftaught.data.audio.views import Augmentation as OfClips
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.views import Augmentation as OfImages
from selftaught.data.images.views import Views
from selftaught.data.series.views import Augmentation as OfSeries
from selftaught.data.tables.views import Augmentation as OfRows
from selftaught.data.text.views import Augmentation as OfTexts
from selftaught.judging.finetune import Tuning
from selftaught.methods import registry
from selftaught.methods.parts.colour import gamut
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Recipe
from selftaught.system import components, randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.training import job
from selftaught.training.optimizers import apply_schedule, build_optimizer
from selftaught.training.pretrain import pretrain
from tests.methods.making import BATCH, made, small, views

METHODS = {f"method {name}": registry.method_class(name) for name in sorted(registry.places())}
KINDS = [name for name in modality.NAMES if name != "audio"]  # whose encoders are those of images
ENCODERS = {f"encoder of {name}": modality.named(name).create for name in KINDS}
OTHERS = {
    "view of images": OfImages,
    "view of rows": OfRows,
    "view of series": OfSeries,
    "view of texts": OfTexts,
    "view of clips": OfClips,
    "training": Training,
    "finetune": Tuning,
}
TAKE = METHODS | ENCODERS | OTHERS  # all that takes options, by what errors call it
OPTIONS = [(what, name) for what, built in TAKE.items() for name in components.options(built)]
# Of words, or held to their bounds elsewhere.
PLAIN = [("finetune", "light"), ("training", "fixed_lr"), ("encoder of text", "config")]
CHEAP = 8  # whole numbers up to this are tried for real; larger ones make networks that only a shape is made of
SLOW = {"permutations": {2000}}  # to choose so many takes half a minute
FITTING = {"decoder_width": 32, "predictor_width": 32, "dim": 4}  # what numbers of heads, and groups, go with
TILED = ("jigsaw", "pirl", "relative_location")
# Some numbers of these go with none of what else there is here.
TOGETHER = (
    "decoder_width",
    "decoder_heads",
    "predictor_width",
    "predictor_heads",
    "generator_width",
    "generator_heads",
    "mask_patch_size",  # of which a sample is to hold two
    "cell",
    "group",
    "dim",
    "gap",
    "patch_weight",
)

every_option = pytest.mark.parametrize(("what", "name"), [pair for pair in OPTIONS if pair not in PLAIN])


@cache
def schema_of(what: str, name: str) -> dict[str, Any]:
    return TypeAdapter(components.options(TAKE[what])[name].annotation).json_schema()


@cache
def numbers(what: str, name: str) -> list[dict[str, Any]]:
    """The schemas of the numbers that an option takes, one by one where it is a pair, or of any one of several."""
    schema = schema_of(what, name)
    found = [schema, *schema.get("anyOf", []), *schema.get("prefixItems", []), schema.get("items", {})]
    return [part for part in found if part.get("type") in ("integer", "number")]


def at(part: dict[str, Any]) -> list[Any]:
    """The lowest and the highest number that is allowed; of one that is not itself allowed, the nearest to it."""
    make = int if part["type"] == "integer" else float
    low = part.get("minimum", math.nextafter(part.get("exclusiveMinimum", math.nan), math.inf))
    high = part.get("maximum", math.nextafter(part.get("exclusiveMaximum", math.nan), -math.inf))
    return [make(low), make(high)]


def beyond(part: dict[str, Any]) -> list[Any]:
    """The first numbers that are not allowed."""
    low, high = (part.get(f"exclusive{end}", part.get(end.lower())) for end in ("Minimum", "Maximum"))
    if part["type"] == "integer":
        return [low - 1, high + 1]
    below = low if "exclusiveMinimum" in part else math.nextafter(low, -math.inf)
    return [below, high if "exclusiveMaximum" in part else math.nextafter(high, math.inf)]


def given_as(what: str, name: str, value: Any) -> Any:
    """A number as the option takes it: of a pair or three, all are that number, and of several, the only one."""
    schema = schema_of(what, name)
    return (value,) * len(schema.get("prefixItems", [1])) if {"prefixItems", "items"} & schema.keys() else value


WITH_NUMBERS = [pair for pair in OPTIONS if numbers(*pair)]


@every_option
def test_an_option_is_a_choice_or_has_bounds_on_both_sides(what: str, name: str) -> None:
    schema = schema_of(what, name)
    for part in numbers(what, name):
        assert {"minimum", "exclusiveMinimum"} & part.keys() and {"maximum", "exclusiveMaximum"} & part.keys()
    kinds = [schema, *schema.get("anyOf", [])]
    assert numbers(what, name) or any("enum" in kind or kind.get("type") == "boolean" for kind in kinds)


def refused(what: str, name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        components.checked(what, TAKE[what], {name: value})
    said = str(caught.value)
    assert "\n" not in said and f"option {name!r} cannot be " in said and len(said) < 400


@every_option
def test_the_first_value_beyond_its_bounds_is_refused_in_one_line(what: str, name: str) -> None:
    for value in [value for part in numbers(what, name) for value in beyond(part)]:
        refused(what, name, given_as(what, name, value))
    for value in (math.nan, math.inf, -math.inf, "much", {}, 10**400):
        refused(what, name, given_as(what, name, value))


MEANINGLESS = {"momentum": 1.001, "temperature": 0.0, "drop_path": 1.0, "probability": 1.001}


@pytest.mark.parametrize(("word", "value"), list(MEANINGLESS.items()))
def test_bounds_shut_out_what_options_of_a_name_cannot_mean(word: str, value: float) -> None:
    named = [pair for pair in WITH_NUMBERS if word in pair[1]]
    for what, name in named:
        refused(what, name, given_as(what, name, value))
    assert named


LOW, HIGH = {"minimum", "exclusiveMinimum", "ge", "gt"}, {"maximum", "exclusiveMaximum", "le", "lt"}


@pytest.mark.parametrize("recipe", Recipe.__subclasses__())
def test_every_number_among_the_settings_of_a_command_has_bounds(recipe: type[Recipe]) -> None:
    for name, schema in recipe.model_json_schema()["properties"].items():
        for part in [
            schema,
            *schema.get("anyOf", []),
            *(p for s in schema.get("anyOf", []) for p in s.get("anyOf", [])),
        ]:
            if part.get("type") in ("integer", "number"):
                assert HIGH & part.keys() and (LOW & part.keys() or name == "batch_size"), name  # which has its own


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_any_value_beyond_its_bounds_is_refused_in_one_line(data: st.DataObject) -> None:
    what, name = data.draw(st.sampled_from(WITH_NUMBERS))
    for part in numbers(what, name):
        below, above = beyond(part)
        drawn = st.integers if part["type"] == "integer" else st.floats
        value = data.draw(st.one_of(drawn(max_value=below), drawn(min_value=above)))
        refused(what, name, given_as(what, name, value))


def method_cases() -> Iterator[tuple[str, str, Any]]:
    for what in METHODS:
        for name in components.options(METHODS[what]):
            for value in {value for part in numbers(what, name) for value in at(part)} - SLOW.get(name, set()):
                yield what.removeprefix("method "), name, value


def side(method: str) -> int:
    """Of images that are cut into tiles or patches, and of the others, which so take a third of the time."""
    return 32 if registry.method_class(method).needs_tokens or method in TILED else 16


@pytest.mark.parametrize(("method", "name", "value"), list(method_cases()))
def test_at_its_bounds_an_option_makes_a_method_that_works(method: str, name: str, value: Any) -> None:
    chosen = {name: given_as(f"method {method}", name, value)}
    size = (side(method), side(method))
    fitting = {key: number for key, number in FITTING.items() if key in small(method) and key != name}
    try:
        if isinstance(value, int) and value > CHEAP:
            gamut()  # which is kept once it is made, and is to be of numbers
            with torch.device("meta"):
                made(method, size=size, starts=False, **(fitting | chosen))
            return
        built = made(method, size=size, **(fitting | chosen))
    except UsageError as error:
        assert name in TOGETHER and "\n" not in str(error)
        return
    with randomness.at(0, 0, slice(0, BATCH)):
        terms = built(*views(built, size=size))
    assert all(term.isfinite() for term in terms.values())


FLAGS = {
    "--size": ["0", "2x900000", "16x0", "x"],
    "--seed": [str(2**70), "-1"],
    "--lr": ["nan", "inf", "1e300", "0"],
    "--epochs": ["nan", "1e30", "0"],
    "--batch-size": ["inf", "nan", "1", "1e30"],
    "--training.lr": ["nan", "-1", "9" * 5000],
    "--training.warmup": ["-1", "5"],
    "--training.clip": ["nan", "-1"],
    "--training.betas": ["0.9,1"],
    "--training.drops": ["0.5,2", "-0.1", "x"],
    "--training.bias_lr": ["nan", "0"],
    "--also": ["rotation:inf", "rotation:nan", "rotation:0"],
    "--method.temperature": ["0", ".nan", "-1"],
    "--method.width": ["0", "-1", "1e9"],
    "--encoder.depth": ["-1", "0", "1000000"],
    "--encoder.patch": ["0", "9999999999999999999999"],
    "--encoder.drop_path": ["2", "1"],
    "--views.strong.jitter": [".nan", "-3"],
    "--views.strong.scale": ["0", "1e9"],
    "--tolerance": ["nan", "2"],
    "--checkpoint-every": ["nan", "9" * 400 + "d", "-5"],
    "--memory": ["9" * 400 + "GB", "-1"],
    "--budget": ["9" * 400 + "d", "0"],
    "--log-every": ["0", "1" + "0" * 20],
}


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, values in FLAGS.items() for value in values])
def test_a_flag_beyond_its_bounds_ends_in_one_line_before_data_is_looked_for(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["pretrain", "nowhere", "--encoder", "vit_tiny_patch16_224", flag, value]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "bug" not in said and "cannot be" in said and len(said) < 400


def test_what_a_network_takes_in_training_has_bounds_that_training_can_take() -> None:
    method = made("simclr")
    for name in components.options(Training):
        for value in [value for part in numbers("training", name) for value in at(part)]:
            chosen = Training(**{name: given_as("training", name, value)})
            apply_schedule(build_optimizer(method, chosen, 256), chosen, 0.5)


BUILT = {  # encoders and those of their options that reach into them; a ResNet of 2,048 blocks takes its time
    "images": {"test_vit": ("patch", "depth", "width", "drop_path"), "test_resnet": ("width", "drop_path")},
    "series": {
        "dilated_conv": ("depth", "dim"),
        "inception_time": ("kernel",),
        "patch_transformer": ("depth", "width", "heads", "patch"),
    },
    "tables": {"mlp": ("depth", "width"), "ft_transformer": ("depth", "width", "heads")},
    "text": {"text_tiny": ("depth", "width", "heads"), "text_small": ("depth", "heads", "dropout")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_are_built_at_the_bounds_of_their_options_or_refused_in_one_line(kind: str) -> None:
    known, whole = modality.named(kind), 0
    for name, option in [(name, option) for name, options in BUILT[kind].items() for option in options]:
        for value in [value for part in numbers(f"encoder of {kind}", option) for value in at(part)]:
            part = Part(name=name, options={option: value})
            try:
                with torch.device("meta"):
                    known.build_encoder(part, known.guess(None, part))
                whole += 1
            except UsageError as error:
                assert "\n" not in str(error)
    assert whole >= 8


@pytest.mark.parametrize("name", sorted(OfImages.__dataclass_fields__))
def test_views_are_made_at_the_bounds_of_their_options(name: str) -> None:
    facts = {"low": 0, "high": 255, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    preparation = Preparation(channels=3, size=(16, 16), **facts)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8))
    always = {"jitter_probability": 1.0, "blur": 1.0, "jitter": 0.5}
    for value in [value for part in numbers("view of images", name) for value in at(part)]:
        if name == "blur_sigma" and value > 50:
            continue  # a kernel of six thousand pixels a side
        made = Views(
            ["strong"], preparation, options={"strong": always | {name: given_as("view of images", name, value)}}
        )
        with randomness.at(0, 0, slice(0, 2)):
            assert made(torch.arange(2), pixels, torch.ones(2))[0].isfinite().all()


def test_a_network_that_is_larger_than_the_machine_is_refused_before_it_is_built(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "machine_memory", lambda: 1 << 20)  # of a machine for which small networks are too large
    asked = {"data": str(photos), "size": "16", "steps": 1, "batch_size": 8, "map": 0, "out": str(tmp_path / "run")}
    wide = {"encoder": {"name": "test_resnet", "options": {"width": 64}}}
    deep = {"encoder": "test_resnet", "method": {"name": "dino", "options": {"out_dim": 4096}}}
    for too_large in (wide, deep):
        with pytest.raises(UsageError, match=r"the network would take .* MB, and the machine has 1 MB of memory; make"):
            pretrain(Pretrain.parse(asked | too_large))
