"""A method that somebody wrote where it is used: a class in place of a name."""

import os
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import selftaught
from selftaught.commands.cli import run_command
from selftaught.methods.handed import _said, source_digest
from selftaught.methods.registry import places
from selftaught.run.folder import RunFolder
from selftaught.system.errors import DivergedError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(24) % 2
FAST: dict[str, Any] = {
    **{"encoder": "test_resnet", "steps": 2, "batch_size": 8, "map": 0},
    **{"precision": "32-true", "layout": "contiguous"},
}


class Brightness(selftaught.Method):
    """The mean of each view is to be told."""

    views = ("light",)

    def __init__(self, encoder: Any, data: Any, /, *, width: int = 4) -> None:
        super().__init__(encoder, data)
        self.head = nn.Sequential(nn.Linear(encoder.dim, width), nn.Linear(width, 1))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        wanted = views[0].mean(dim=(1, 2, 3))
        return {"error": (self.head(self.encoder(views[0]))[:, 0] - wanted).square().mean()}


def changed(body: str) -> type:
    """A class of the same name with another `forward`, from a file, as that of a cell is kept."""
    import linecache

    text = f"class Brightness(Brightness):\n    def forward(self, *views):\n{body}\n"
    file = f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, Any] = {"Brightness": Brightness, "__name__": "__main__"}
    exec(compile(text, file, "exec"), names)
    cls: type = names["Brightness"]
    return cls


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return selftaught.pretrain(PIXELS, method=Brightness, out=tmp_path_factory.mktemp("own") / "run", **FAST)


def test_a_class_is_a_method_for_as_long_as_the_command_works(run: Any) -> None:
    assert run.recipe.method.name == "python:Brightness" and run.recipe.method_fingerprint == source_digest(Brightness)
    assert [set(line["terms"]) for line in run.metrics()] == [{"error"}] * 2
    assert "python:Brightness" not in places()


def test_what_it_leaves_needs_the_class_no_more(run: Any, tmp_path: Path) -> None:
    """A run is opened from its folder, and judged, embedded and loaded where nobody knows the class."""
    opened = selftaught.Run.open(run.folder)
    verdict = opened.evaluate((PIXELS, LABELS), probe="knn", labels="100%", repeats=1).verdict
    assert verdict.startswith("knn, all labels")
    assert np.load(opened.embed(PIXELS, tmp_path / "f.npz"))["features"].shape[0] == len(PIXELS)
    assert opened.encoder()(torch.zeros(2, 3, 8, 8)).shape[0] == 2
    assert run_command(["report", str(run.folder)]) == 0


def test_options_of_a_class_are_held_to_what_it_says(tmp_path: Path) -> None:
    wide = {"name": Brightness, "options": {"width": 9}}
    run = selftaught.pretrain(PIXELS, method=wide, out=tmp_path / "run", **FAST)
    assert run.recipe.method.options == {"width": 9}
    with pytest.raises(UsageError, match="method python:Brightness has no option 'depth'; did you mean 'width'"):
        selftaught.pretrain(PIXELS, method={"name": Brightness, "options": {"depth": 9}}, **FAST)


def test_a_run_goes_on_with_the_same_class_and_with_no_other(run: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run"
    for step in selftaught.steps(PIXELS, method=Brightness, out=out, **FAST):
        if step.step == 1:
            break
    assert RunFolder.open(out).status["state"] == "preempted"
    with pytest.raises(UsageError, match=r"python:Brightness was written in Python, and has to be given again: .*pre"):
        selftaught.pretrain(PIXELS, out=out, resume=True)
    other = changed("        return {'error': views[0].mean() + self.head(self.encoder(views[0])).mean()}")
    with pytest.raises(UsageError, match="cannot resume: Brightness is not what it was when the run began"):
        selftaught.pretrain(PIXELS, method=other, out=out, resume=True)
    again = selftaught.pretrain(PIXELS, method=Brightness, out=out, resume=True)
    ours, theirs = ([*one.encoder().parameters()] for one in (again, run))
    assert all(map(torch.equal, ours, theirs))
    assert run_command(["pretrain", "sklearn:digits", "--out", str(out), "--resume"]) == UsageError.exit_code
    assert "method=Brightness" in capsys.readouterr().err


def test_it_is_drawn_and_fitted_like_any_other(tmp_path: Path) -> None:
    page = selftaught.preview(PIXELS, method=Brightness, out=tmp_path / "p.html", encoder="test_resnet", samples=2)
    assert "<h1>python:Brightness</h1>" in page.read_text()  # it has no question, and no paper
    fitted = selftaught.SelfTaughtEncoder(Brightness, **{name: how for name, how in FAST.items() if name != "map"})
    assert fitted.fit(PIXELS).recipe_["method"]["name"] == "python:Brightness"


def test_a_digest_is_of_what_a_class_says_and_of_no_comment() -> None:
    said, again = changed("        return {}"), changed("        return {}  # nothing\n")
    assert source_digest(said) == source_digest(again) != source_digest(changed("        return {'a': 0}"))
    constant = type("Brightness", (Brightness,), {"level": 1, "__module__": "__main__"})
    other = type("Brightness", (Brightness,), {"level": 2, "__module__": "__main__"})
    assert source_digest(constant) != source_digest(other)
    names: dict[str, Any] = {"Brightness": Brightness, "__name__": "__main__"}
    exec("class Typed(Brightness):\n    def forward(self, *views): return {}", names)
    assert source_digest(names["Typed"]) is None


HOLDING = """
from functools import partial

import torch
from torch.nn.functional import relu

import selftaught
from selftaught.methods.handed import source_digest


def squared(a, b):
    return (a - b) ** POWER


class Thing:
    pass


class Holding(selftaught.Method):
    errors = {"squared": squared, "other": [lambda a, b: a - b]}
    names = {"alpha", "beta", "gamma", "delta"}
    kinds = frozenset({("alpha", squared), ("beta", None), ("gamma", torch.relu)})
    acts = (relu, torch.tanh, torch.nn.GELU, partial(squared, b=1), [Thing()])

    def forward(self, *views):
        return {}


print(source_digest(Holding))
"""


def test_a_digest_of_what_a_class_holds_is_the_same_in_another_session(tmp_path: Path) -> None:
    """Functions have other addresses there, and sets another order; what the functions say counts."""
    digests = []
    for seed, power in ((1, 2), (2, 2), (1, 3)):
        file = tmp_path / "own.py"
        file.write_text(HOLDING.replace("POWER", str(power)))
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, check=True)
        digests.append(done.stdout.strip())
    assert len(digests[0]) == 32 and digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "value",
    [
        *([], (), {}, set(), frozenset(), [1, "a"], (1,), ("a", (2.5, None)), {"a": [1], 2: (3,)}, {"one"}),
        *({9, 17, 1, 8}, frozenset({3}), {(8, 1), (0, 2)}, "look at 0x12", b"at 0x12", 1.5, nn.GELU, Path("a")),
        *(OrderedDict(a=1), selftaught.Training(), slice(1, 2), range(3), [{"a": {"b": "it's"}}]),
    ],
)
def test_what_was_well_digested_has_the_digest_it_had(value: Any) -> None:
    assert _said(value) == repr(value)


def test_a_class_of_ones_own_is_ranked_among_the_others(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"epochs": 1, "rungs": 1, "seeds": 1, "encoder": "test_resnet", "score": "alignment"}
    result = selftaught.compare(PIXELS, [Brightness, "rotation"], out=tmp_path / "c", **quick)
    assert {place.method for place in result.ranking} == {"python:Brightness", "rotation"}
    with pytest.raises(UsageError, match="cannot resume: Brightness is not what it was"):
        other = changed("        return {'error': self.head(self.encoder(views[0])).mean()}")
        selftaught.compare(PIXELS, [other, "rotation"], out=tmp_path / "c", resume=True)


def test_what_is_no_method_is_refused() -> None:
    unfinished = type("Unfinished", (selftaught.Method,), {})
    for method, said in (
        (nn.Linear, "Linear is no method: it is to be a subclass of selftaught.Method"),
        (unfinished, "Unfinished is no whole method: it has no forward"),
    ):
        with pytest.raises(UsageError, match=said):
            selftaught.pretrain(PIXELS, method=method, **FAST)
    with pytest.raises(UsageError, match="two methods of yours are called Brightness"):
        selftaught.compare(PIXELS, [Brightness, changed("        return {}")])
    with pytest.raises(UsageError, match="--devices 2 starts processes, which know a network, a method"):
        selftaught.pretrain("sklearn:digits", method=Brightness, devices=2, device="cpu", **FAST)


def with_body(**functions: Any) -> type:
    """A class like Brightness with other functions or attributes."""
    return type("Faulty", (Brightness,), {"__module__": __name__, **functions})


def loss_of(method: Any, *views: Tensor) -> Tensor:
    return Brightness.forward(method, *views)["error"]


def alone(self: Any, encoder: Any) -> None:
    Brightness.__init__(self, encoder, None)


def unbegun(self: Any, encoder: Any, data: Any, /) -> None:
    self.head = nn.Linear(encoder.dim, 2)


def half_begun(self: Any, encoder: Any, data: Any, /) -> None:
    nn.Module.__init__(self)


def asking(self: Any, encoder: Any, data: Any, /, *, width: int) -> None:
    Brightness.__init__(self, encoder, data, width=width)


def none_at_chance(self: Any) -> float:
    return 1.0


def of_two(self: Any, first: Tensor, second: Tensor) -> dict[str, Tensor]:
    return {"error": loss_of(self, first)}


FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"views": ("lihgt",)}, "the views of python:Faulty: no view named 'lihgt'; did you mean 'light'"),
    ({"views": "light"}, r"Faulty.views is 'light', and is to name one or more, as in views = \(\"light\",\)"),
    ({"views": ()}, "Faulty.views is empty: name what forward is given"),
    ({"preset": {"lr": 1e-3}}, r"Faulty.preset is a dict, and is to be selftaught.Training\(lr="),
    ({"__init__": alone}, "Faulty.__init__ is given encoder and data, and cannot be called so: too many positional"),
    ({"__init__": unbegun}, r"Faulty cannot be built: AttributeError: cannot assign module before .*_methods.py, line"),
    ({"__init__": half_begun}, r"Faulty has no encoder: its __init__ is to begin with super\(\).__init__\(encoder, da"),
    ({"__init__": asking}, "option 'width' has no default: choose it, or give it one there"),
    ({"chance": none_at_chance}, "Faulty.chance is given the size of a batch, and cannot be called so: too many"),
    ({"forward": of_two}, "Faulty.forward is given view light, and cannot be called so: missing .* 'second'"),
]


@pytest.mark.parametrize(("functions", "said"), FAULTY)
def test_a_class_that_cannot_be_asked_is_refused_by_its_name_before_anything_runs(
    functions: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        selftaught.pretrain(PIXELS, method=with_body(**functions), out=tmp_path / "run", **FAST)
    assert not (tmp_path / "run").exists()


def test_an_option_without_a_default_is_one_that_must_be_chosen(tmp_path: Path) -> None:
    chosen = {"name": with_body(__init__=asking), "options": {"width": 3}}
    run = selftaught.pretrain(PIXELS, method=chosen, out=tmp_path / "run", **FAST)
    assert run.recipe.method.options == {"width": 3}


ANSWERS: list[tuple[Any, str]] = [
    (loss_of, "Faulty.forward returned a Tensor: it is to return the terms of the loss by name"),
    (lambda self, *views: None, "Faulty.forward returned nothing: it is to return"),
    (lambda self, *views: {}, "Faulty.forward returned an empty dict: it is to return"),
    (lambda self, *views: {"a": 1.5}, "Faulty.forward returned a float as 'a': it is to return"),
    (
        lambda self, *views: {"a": loss_of(self, *views).expand(5)},
        r"Faulty.forward returned a tensor of \(5,\) as 'a', and a term is one number: take its mean\(\)",
    ),
    (
        lambda self, *views: {"a": loss_of(self, *views).detach()},
        "none of the terms that Faulty.forward returned has a gradient",
    ),
]


@pytest.mark.parametrize(("forward", "said"), ANSWERS)
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_an_answer_that_is_no_loss_is_said_of_the_class(
    forward: Any, said: str, precision: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        faulty = with_body(forward=forward)
        selftaught.pretrain(PIXELS, method=faulty, out=tmp_path / "run", **FAST | {"precision": precision})


def test_a_term_of_one_number_may_have_axes(tmp_path: Path) -> None:
    one = with_body(forward=lambda self, *views: {"a": loss_of(self, *views)[None]})
    assert selftaught.pretrain(PIXELS, method=one, out=tmp_path / "run", **FAST).status["state"] == "done"


def test_the_cause_of_a_fault_is_at_hand_in_python(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        selftaught.pretrain(PIXELS, method=with_body(__init__=unbegun), out=tmp_path / "run", **FAST)
    assert isinstance(told.value.__cause__, AttributeError)


def test_a_run_none_of_whose_steps_was_taken_is_not_done(tmp_path: Path) -> None:
    never = with_body(forward=lambda self, *views: {"a": loss_of(self, *views) * torch.nan})
    said = "diverged at step 2: all of its 2 steps .* no step was ever good, so no learning rate is to blame: look at"
    with pytest.raises(DivergedError, match=said):
        selftaught.pretrain(PIXELS, method=never, out=tmp_path / "run", **FAST)
    run = RunFolder.open(tmp_path / "run")
    assert run.status["state"] == "diverged" and run.bad_steps() == [1, 2]


def test_a_loss_that_does_not_reach_the_encoder_is_said(tmp_path: Path, capsys: Any) -> None:
    def unreached(self: Any, *views: Tensor) -> dict[str, Tensor]:
        return {"error": self.head(self.encoder(views[0]).detach()).square().mean()}

    run = selftaught.pretrain(PIXELS, method=with_body(forward=unreached), out=tmp_path / "run", **FAST)
    said = "warning: the loss depends on none of the encoder's weights, so they learn nothing: the method is to reckon"
    assert capsys.readouterr().err.count(said) == 1 == (run.folder / "run.log").read_text().count(said)
    selftaught.pretrain(PIXELS, method=Brightness, out=tmp_path / "reached", **FAST)
    assert "depends on none" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (lambda self, *views: 1 // 0, "ZeroDivisionError: .*test_own_methods.py, line"),
        (lambda self, *views: {"input": views[0][:, 0]}, "ValueError: "),
        (lambda self, *views: {"input": 1.0}, "AttributeError: "),
    ],
)
def test_a_picture_that_cannot_be_drawn_costs_no_run(picture: Any, said: str, tmp_path: Path, capsys: Any) -> None:
    faulty = with_body(picture=picture)
    run = selftaught.pretrain(PIXELS, method=faulty, out=tmp_path / "run", **FAST)
    assert run.status["state"] == "done" and not (run.folder / "pictures.png").exists()
    assert re.search(f"warning: pictures.png could not be drawn: {said}", capsys.readouterr().err)
    with pytest.raises(UsageError, match=f"the method's picture cannot be drawn: {said}"):
        selftaught.preview(PIXELS, method=faulty, out=tmp_path / "p.html", encoder="test_resnet", samples=2)
