"""Before a run on few images it is said what such runs have brought; the usual choices for few stand in one table."""

from pathlib import Path

import pytest

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.data.images.preparation import Preparation
from selftaught.reporting.check_page import lines
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system.measured import Brought, Measured, Usual
from selftaught.training.few import FEW, advice
from selftaught.training.resolve import Counted, resolve

IMAGES = modality.named("images")
PREPARATION = Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.5,) * 3, std=(0.2,) * 3)
NO = Usual(method="simclr")
TOLD = Brought(
    set="leaves", images=2000, labels="all labels", method="simclr", encoder="resnet18", flags="--method simclr",
    told=0.40, pixels=0.45, seeds=2, rows="small.jsonl",
)  # fmt: skip
BETTER = TOLD.model_copy(update={"method": "mae", "encoder": "vit", "flags": "--method mae", "told": 0.5})
FAR = TOLD.model_copy(update={"set": "stars", "images": 9000, "told": 0.9})
FROZEN = TOLD.model_copy(update={"method": None, "weights": True, "flags": "--init net", "told": 0.75})


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[Brought]:
    """Rows that are known, to be changed, and no usual choice but today's."""
    rows = [TOLD, BETTER, FAR, FROZEN]
    monkeypatch.setattr("selftaught.training.few.known", lambda: Measured(below=1000, usual=NO, brought=rows))
    return rows


def asked(**told: object) -> Pretrain:
    return Pretrain.parse({"data": "photos", **told})


def planned(count: int = 2000, **told: object) -> Plan:
    return resolve(asked(**told), Counted(count, PREPARATION))


def test_what_such_runs_have_brought_and_what_brought_more(known: list[Brought]) -> None:
    nothing, weights = advice(planned(), IMAGES, 1500)
    assert nothing == (
        "of leaves (2,000 images, all labels) raw pixels told 45.0 %, simclr from nothing on resnet18 40.0 %; the most "
        "from nothing, 50.0 %, by --method mae"
    )
    assert weights == (
        "weights that others have taught told 75.0 % of leaves (2,000 images, all labels), raw pixels 45.0 %, as they "
        "are; go on from such by --init net"
    )
    assert "stars" in advice(planned(), IMAGES, 8000)[0]  # the set that has the most nearly so many
    assert advice(planned(), IMAGES, 200) and advice(planned(), IMAGES, 199) == []  # nobody has measured so few
    known.append(TOLD.model_copy(update={"set": "shells", "told": 0.5, "pixels": 0.9}))  # as many of another kind
    shells = "of shells (2,000 images, all labels) raw pixels told 90.0 %, simclr from nothing on resnet18 50.0 %"
    assert advice(planned(), IMAGES, 1500) == [nothing, shells, weights]
    known.pop()
    known.append(FROZEN.model_copy(update={"images": 90_000, "told": 0.99}))  # more of the same set
    assert advice(planned(), IMAGES, 1500)[1] == weights
    known[3] = FROZEN.model_copy(update={"method": "byol", "flags": "--init net --method byol"})
    assert advice(planned(), IMAGES, 1500)[1].endswith("raw pixels 45.0 %, by --init net --method byol")


def test_views_that_fit_are_named_with_what_they_brought_the_same_method(known: list[Brought]) -> None:
    fitting = TOLD.model_copy(update={"flags": "--method simclr --views.strong.flip 0", "told": 0.45})
    known.append(fitting)
    told = "simclr from nothing on resnet18 40.0 % (45.0 % with --views.strong.flip 0); the most from nothing, 50.0 %"
    assert told in advice(planned(), IMAGES, 1500)[0]
    known[-1] = fitting.model_copy(update={"told": 0.6})  # the most by itself
    said = advice(planned(), IMAGES, 1500)[0]
    assert said.endswith("40.0 %; the most from nothing, 60.0 %, by --method simclr --views.strong.flip 0")
    known[-1] = fitting.model_copy(update={"told": 0.41})
    assert "--views" not in advice(planned(), IMAGES, 1500)[0]


def test_no_more_is_said_than_there_are_rows_for(known: list[Brought]) -> None:
    best = advice(planned(method="mae"), IMAGES, 1500)[0]
    assert "mae from nothing on vit 50.0 %" in best and "the most" not in best
    assert "from nothing on" not in advice(planned(method="byol"), IMAGES, 1500)[0]  # of which nothing is known
    known[3] = FROZEN.model_copy(update={"told": 0.45})
    assert len(advice(planned(), IMAGES, 1500)) == 1  # weights that bring nothing are not named
    known.clear()
    assert advice(planned(), IMAGES, 1500) == []


def test_nothing_is_said_of_many_of_rows_or_where_weights_are_named(known: list[Brought]) -> None:
    assert advice(planned(), IMAGES, FEW + 1) == [] and advice(planned(), IMAGES, FEW)
    assert advice(planned(), modality.named("tables"), 1500) == []
    assert advice(planned().model_copy(update={"init": "runs/ours", "preset": "own"}), IMAGES, 1500) == []
    assert advice(planned().model_copy(update={"teacher": "timm"}), IMAGES, 1500) == []


def test_of_going_on_it_is_said_what_the_weights_told_as_they_are(known: list[Brought]) -> None:
    on = FROZEN.model_copy(update={"method": "simclr", "flags": "--init net --method simclr", "samples": 5000})
    short = on.model_copy(update={"method": "byol", "told": 0.70, "flags": "--init net --method byol"})
    known += [short, short.model_copy(update={"samples": 50_000, "told": 0.78})]

    def said(**told: object) -> list[str]:
        plan = planned(batch_size=100, **{"method": "byol", "steps": 40, **told})
        return advice(plan.model_copy(update={"init": "net", "preset": "warm"}), IMAGES, 1500)

    where = "of leaves (2,000 images, all labels) weights that others have taught told 75.0 % as they are"
    after = "70.0 % after 5,000 samples of going on with byol"
    longer = "78.0 % after 50,000 samples of going on with byol"
    assert said() == [f"{where}, {after}; the most, 78.0 %, by --init net --method byol"]
    assert said(steps=4000) == [f"{where}, {longer}"]  # what is most nearly as long
    assert said(method="mae") == [f"{where}; the most, 78.0 %, by --init net --method byol"]
    assert said(adapt="lora:8") == said(method="mae")  # in which fewer weights learn than in any that was tried
    known.append(on.model_copy(update={"adapt": "lora:8", "method": "byol", "told": 0.74}))
    assert ", 74.0 % after 5,000 samples" in said(adapt="lora:8")[0]
    known[-2] = on.model_copy(update={"told": 0.6})
    assert said() == [f"{where}, {after}; nothing told more"]
    known.remove(FROZEN)
    assert said() == []


def test_check_and_pretrain_say_it(
    known: list[Brought], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known.remove(FAR)
    known[:] = [row.model_copy(update={"images": 200}) for row in known]
    words = ["sklearn:digits", "--encoder", "test_resnet", "--batch-size", "4"]
    findings = selftaught.check("sklearn:digits", encoder="test_resnet", batch_size=4, limit=20)
    said = findings.as_json()["suggested"]["advice"]
    assert len(said) == 2 and [text for name, text in lines(findings) if name == "so far"] == said
    capsys.readouterr()
    quick = ["--limit", "20", "--steps", "1", "--precision", "32-true", "--layout", "contiguous", "--out", "run"]
    assert run_command(["pretrain", *words, *quick]) == 0
    assert capsys.readouterr().err.count("so far   ") == 2
    assert run_command(["pretrain", *words, *quick, "--resume"]) == 0
    assert "so far   " not in capsys.readouterr().err  # it has begun
