"""From a run to a classifier to predictions, from the command line; what is written loads without this package."""

import csv
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import selftaught
from selftaught.commands.cli import run_command
from selftaught.commands.python import Run
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.run.classifier import Calibrated, load_classifier, save_classifier
from selftaught.run.export import save_encoder, warn_of_cut
from selftaught.run.meaning import Meaning
from selftaught.run.weights import load_initial_weights
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.files import write_json
from selftaught.system.lock import only_writer
from selftaught.system.progress import Progress
from selftaught.training.pretrained import load_pretrained
from tests.networks import HALVED, onnx_answers

QUICK = ["--finetune.lr", "3e-3", "--finetune.light.flip", "0", "--finetune.light.crop", "0.8,1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with an encoder that has learnt nothing yet: enough to be fine-tuned."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = open_samples("sklearn:digits", limit=64)
    torch.manual_seed(0)
    save_encoder(build_encoder(HALVED, images.preparation), HALVED, images.preparation, folder / "encoder", {})
    (folder / "recipe.yaml").write_text("data: sklearn:digits\n")
    return Run(folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """600 digits to learn from, and 400 others."""
    folder = tmp_path_factory.mktemp("digits")
    images = open_samples("sklearn:digits", labelled=True)
    x, y = images.storage.take(np.arange(1000))[0], np.array(images.labels[:1000])
    for name, rows in (("train", slice(0, 600)), ("test", slice(600, None))):
        np.savez(folder / f"{name}.npz", x=x[rows], y=y[rows])
    return folder / "train.npz", folder / "test.npz"


@pytest.fixture(scope="module")
def classifier(run: Run, digits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifiers") / "clf"
    command = ["finetune", str(run.folder), str(digits[0]), "--test", str(digits[1]), "--out", str(out)]
    assert run_command([*command, "--finetune.epochs", "6", *QUICK]) == 0
    return out


def test_a_classifier_is_right_and_as_sure_as_it_should_be(classifier: Path) -> None:
    told = json.loads((classifier / "metrics.json").read_text())
    assert told["accuracy"] > 0.7 and told["low"] < told["accuracy"] < told["high"]
    assert told["learnt_from"] + told["held_out"] == told["samples"] == 600 and 50 <= told["measured_on"] <= 70
    tested = told["test"]
    assert tested["measured_on"] == 400 and tested["accuracy"] > 0.7
    assert tested["calibration_error"] <= tested["calibration_error_before"] + 0.01
    assert np.sum(tested["confusion"]) == 400 and len(tested["recall"]) == 10
    status = Run(classifier).status
    assert status["state"] == "done" and status["exit_code"] == 0 and status["accuracy"] == told["accuracy"]
    assert (classifier / "recipe.yaml").exists() and not (classifier / "lock").exists()


def test_predictions_from_the_command_line(
    classifier: Path, digits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "predictions.csv"
    assert run_command(["predict", str(classifier), str(digits[1]), "--out", str(out), "--all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(out.open()))
    assert told["samples"] == len(rows) == 400 and sum(told["counts"].values()) == 400
    truth = np.load(digits[1])["y"]
    assert [row["path"] for row in rows[:2]] == ["0", "1"]
    right = np.mean([row["predicted"] == label for row, label in zip(rows, truth)])
    assert right == pytest.approx(json.loads((classifier / "metrics.json").read_text())["test"]["accuracy"])
    for row in rows[:20]:
        each = {name: float(row[name]) for name in told["counts"]}
        assert sum(each.values()) == pytest.approx(1, abs=1e-4)
        assert max(each, key=each.__getitem__) == row["predicted"] and float(row["probability"]) == max(each.values())


def test_from_python_arrays_and_the_same_answers(classifier: Path, digits: tuple[Path, Path]) -> None:
    said = selftaught.predict(classifier, np.load(digits[1])["x"][:30])
    assert said.probabilities.shape == (30, 10) and len(said.predicted) == 30
    assert said.predicted == selftaught.predict(str(classifier), digits[1]).predicted[:30]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"limit": -1}, "--limit cannot be -1"),
        ({"limit": 0}, "--limit cannot be 0"),
        ({"sort": "surest"}, "--sort cannot be 'surest'"),
        ({"how": "move", "move_into": "sorted"}, "--how cannot be 'move'"),
        ({"threshold": 5, "move_into": "sorted"}, "--threshold cannot be 5"),
        ({"column": ["x"]}, r"--column cannot be \['x'\]"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused_in_python(
    how: dict, said: str, classifier: Path, digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        selftaught.predict(classifier, digits[1], **how)
    with pytest.raises(UsageError, match="--classifier cannot be None"):
        selftaught.predict(None, digits[1])
    assert not any(tmp_path.iterdir())


def test_names_are_those_of_the_files_and_what_cannot_be_read_is_listed(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("=cmd|' C calc'!A0.png", 'a,b\n"c".png', "größe.png"):
        Image.new("L", (8, 8), 200).save(folder / name)
    (folder / "+broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_command(["predict", str(classifier), str(folder), "--out", str(tmp_path / "p.csv")]) == 0
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
    assert rows[0] == ["path", "predicted", "probability"]
    assert [row[0] for row in rows[1:]] == ["=cmd|' C calc'!A0.png", 'a,b\n"c".png', "größe.png"]
    broken = list(csv.reader((tmp_path / "p-quarantine.csv").open()))
    assert [row[0] for row in broken] == ["path", "'+broken.png"]
    (tmp_path / "p-quarantine.csv").write_text("my own notes")
    assert run_command(["predict", str(classifier), str(folder), "--out", str(tmp_path / "p.csv")]) == 0
    assert f"see {tmp_path / 'p-quarantine-2.csv'}" in capsys.readouterr().err
    assert (tmp_path / "p-quarantine.csv").read_text() == "my own notes"
    said = selftaught.predict(classifier, folder)  # which writes no file, and so no list beside it
    assert len(said.keys) == 3 and [key for key, _ in said.quarantined] == ["+broken.png"]
    told = f"warning: 1 of {folder} cannot be used and is left out; the first is +broken.png: "
    assert told in capsys.readouterr().err


def test_who_uses_the_encoder_of_a_run_that_was_cut_is_told(
    digits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, run = open_samples("sklearn:digits", limit=64), tmp_path / "run"
    encoder = build_encoder(HALVED, images.preparation)
    save_encoder(encoder, HALVED, images.preparation, run / "encoder", {"step": 84})
    (run / "recipe.yaml").write_text("data: sklearn:digits\nsteps: 18000\n")
    nothing, out = str(tmp_path / "none.npz"), ["--out", str(tmp_path / "out.npz")]
    commands = {
        "evaluate": ["--train", nothing],
        "finetune": [nothing, "--out", str(tmp_path / "classifier")],
        "embed": [nothing, *out],
        "find": [nothing, "--like", "1"],
        "odd": [nothing],
        "export": [],
    }
    told = "at step 84 of 18,000: this is its encoder of then"
    for command, rest in commands.items():
        write_json(run / "status.json", {"state": "preempted"})
        run_command([command, str(run), *rest])
        said = capsys.readouterr().err
        assert said.count(f"warning: {run} was stopped {told}, as pretrain --resume goes on from there") == 1, command
    for state, how in (("diverged", "diverged"), ("failed", "failed"), ("running", "was cut")):
        write_json(run / "status.json", {"state": state})
        warn_of_cut(run)
        assert f"{run} {how} {told}" in capsys.readouterr().err
    with only_writer(run):  # it is known to whoever looks at a run that goes on
        warn_of_cut(run)
    write_json(run / "status.json", {"state": "done"})
    warn_of_cut(run)
    (run / "status.json").unlink()
    warn_of_cut(run)
    warn_of_cut(run / "encoder")
    assert capsys.readouterr().err == ""


def test_onnx_gives_calibrated_probabilities(classifier: Path, tmp_path: Path) -> None:
    assert run_command(["export", str(classifier), "--out", str(tmp_path / "m.onnx")]) == 0
    x = torch.randn(5, 1, 8, 8)
    found = onnx_answers(tmp_path / "m.onnx", x, "probabilities")
    with torch.no_grad():
        assert np.allclose(found, load_classifier(classifier)(x).numpy(), atol=1e-4)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-4)


def made(name: str, module: nn.Module | None = None, known: Preparation | None = None, **options) -> Calibrated:
    torch.manual_seed(1)
    facts = {"low": 0, "high": 255, "mean": (0.4,) * 3, "std": (0.2,) * 3}
    preparation = known or Preparation(channels=3, size=(32, 32), **facts)
    part = Part(name=name, options=options)
    encoder = build_encoder(part, preparation, module).train()
    encoder(torch.randn(8, *preparation.shape))  # running statistics that are not the initial ones
    encoder.preparation, encoder.part = preparation, part
    return Calibrated(encoder, nn.Linear(encoder.dim, 4), Meaning(temperature=1.7), ["a", "b", "c", "<d>"]).eval()


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_timm_loads_the_classifiers_it_can_express(tmp_path: Path, name: str) -> None:
    classifier = made(name, **({"stem": "timm"} if name == "test_resnet" else {}))
    save_classifier(classifier, tmp_path / "classifier", {})
    net = timm.create_model(f"local-dir:{tmp_path / 'classifier'}", pretrained=True).eval()
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), classifier.scores(x), atol=1e-5)
        assert torch.allclose(load_classifier(tmp_path)(x), classifier(x), atol=1e-6)
    assert net.num_classes == 4 and net.pretrained_cfg["label_names"] == ["a", "b", "c", "<d>"]
    other = timm.create_model(f"local-dir:{tmp_path / 'classifier'}", pretrained=True, num_classes=7)  # a new head
    assert other.num_classes == 7


def test_who_begins_from_a_classifier_hears_that_labels_have_taught_it(tmp_path: Path) -> None:
    classifier = made("test_resnet")
    save_classifier(classifier, tmp_path / "classifier", {})
    encoder = classifier.encoder
    save_encoder(encoder, encoder.part, encoder.preparation, tmp_path / "encoder", {})
    told = [
        load_initial_weights(made("test_resnet").encoder, str(tmp_path / name)) for name in ("classifier", "encoder")
    ]
    assert ["labels have taught them: judge by others than those" in line for line in told] == [True, False]


@pytest.mark.parametrize(
    ("name", "options"), [("test_resnet", {}), ("test_resnet", {"pool": "grid"}), ("torchvision/resnet18", {})]
)
def test_other_classifiers_are_rebuilt_by_the_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict
) -> None:
    classifier = made(name, **options)
    save_classifier(classifier, tmp_path / "classifier", {})
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(f"local-dir:{tmp_path / 'classifier'}", pretrained=True)
    block = re.search(r"```python\n(.*?)```", (tmp_path / "classifier" / "README.md").read_text(), re.DOTALL)
    assert block and "selftaught" not in block[1]
    monkeypatch.chdir(tmp_path / "classifier")
    names: dict = {}
    exec(block[1], names)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(names["probabilities"](x), classifier(x), atol=1e-5)
        assert torch.allclose(load_classifier(tmp_path)(x), classifier(x), atol=1e-6)


def test_a_users_own_network_must_be_passed_again(tmp_path: Path) -> None:
    classifier = made("own", nn.Conv2d(3, 6, 3))
    save_classifier(classifier, tmp_path, {})
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path, nn.Conv2d(3, 6, 3))(x), classifier(x))
    with pytest.raises(UsageError, match="pass it again"):
        load_classifier(tmp_path)


def test_where_it_stopped_is_said_and_which_step_was_best(
    run: Run, digits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clf"
    command = ["finetune", str(run.folder), str(digits[0]), "--out", str(out), *QUICK]
    assert run_command([*command, "--finetune.epochs", "6", "--finetune.patience", "1"]) == 0
    told, said = json.loads((out / "metrics.json").read_text()), capsys.readouterr().err.replace("\n", " ")
    found = re.search(r"fine-tuning: stopped at step (\d+) of 42: step (\d+) was best on (\d+) samples", said)
    assert found and told["stopped_by"] == "accuracy"
    stopped, best, samples = map(int, found.groups())
    assert best == told["steps"] and stopped == best + 2 and samples == told["temperature_chosen_by"]  # looks: 2 steps


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([], r"note: \d+ samples held out are too few to choose when to stop \(20 are needed\): all 3 steps are taken"),
        (
            ["--finetune.held_out", "0", "--finetune.patience", "1"],
            "note: --finetune.patience 1 does nothing, as no labels are held out: all 3 steps are taken",
        ),
        (["--finetune.held_out", "0"], None),
    ],
)
def test_where_nothing_chooses_when_to_stop_all_steps_are_taken_and_that_is_said(
    chosen: list[str],
    said: str | None,
    run: Run,
    digits: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "clf"
    command = ["finetune", str(run.folder), str(digits[0]), "--limit", "60", "--out", str(out), *QUICK]
    assert run_command([*command, "--finetune.epochs", "1", "--finetune.batch_size", "16", *chosen]) == 0
    told, lines = json.loads((out / "metrics.json").read_text()), capsys.readouterr().err.replace("\n", " ")
    assert told["stopped_by"] is None and told["steps"] == 3
    assert re.search(said, lines) if said else "steps are taken" not in lines


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["finetune", "RUN", "DATA", "--out", "RUN"], 2, "is the run itself"),
        (["finetune", "RUN", "DATA", "--out", "CLF"], 2, "already exists; use --overwrite"),
        (["finetune", "RUN", "DATA", "--out", "new", "--finetune.frozen", "2"], 2, "cannot be"),
        (["finetune", "RUN", "DATA"], 2, "--out"),
        (["finetune", "nowhere", "DATA", "--out", "new"], 2, "not a run folder"),
        (["finetune", "RUN", "sklearn:wine", "--out", "new"], 2, "takes images"),
        (["predict", "RUN", "DATA", "--out", "p.csv"], 2, "holds no classifier"),
        (["predict", "CLF", "DATA", "--out", "p.txt"], 2, "must end in .csv"),
        (["predict", "CLF", "sklearn:wine", "--out", "p.csv"], 2, "takes images"),
        (["predict", "CLF", "nowhere", "--out", "p.csv"], 3, "does not exist"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    words: list[str],
    code: int,
    said: str,
    run: Run,
    classifier: Path,
    digits: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(run.folder), "CLF": str(classifier), "DATA": str(digits[0])}
    assert run_command([places.get(word, word) for word in words]) == code
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not list(tmp_path.iterdir())
    assert (classifier / "classifier" / "model.safetensors").exists()


def test_a_stopped_fine_tuning_says_so_and_can_be_said_again(
    run: Run, digits: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    out = tmp_path / "clf"
    command = ["finetune", str(run.folder), str(digits[0]), "--limit", "60", "--out", str(out), *QUICK]
    command += ["--finetune.epochs", "1"]
    begin = Progress.__init__

    def signalled(self: Progress, what: str, *more: object) -> None:
        begin(self, what, *more)  # type: ignore[arg-type]
        if what == "fine-tuning":
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__init__", signalled)
        assert run_command(command) == 75
    assert Run(out).status["state"] == "preempted" and not (out / "classifier").exists()
    assert run_command(command) == 0 and Run(out).status["state"] == "done"
    assert run_command(command) == 2


def test_what_asks_for_the_run_of_a_classifier_is_told_in_one_line(
    classifier: Path, digits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"error: {classifier} is a classifier, and no pre-training: name the run that its encoder is of\n"
    page = ["report", str(classifier), "--labels", str(digits[0]), "--out", str(tmp_path / "page.html")]
    for command in (page, ["preview", str(digits[0]), "--run", str(classifier), "--out", str(tmp_path / "p.png")]):
        assert run_command(command) == 2 and capsys.readouterr().err == said
    embed = ["embed", str(classifier), str(digits[0]), "--out", str(tmp_path / "f.npz")]
    for command in (embed, ["evaluate", str(classifier), "--train", str(digits[0])]):
        assert run_command(command) == 2 and capsys.readouterr().err == said
    inner = load_classifier(classifier).encoder
    for folder in (classifier, classifier / "classifier"):
        with pytest.raises(UsageError, match=f"^{folder} is a classifier, and no pre-training: name the run"):
            load_pretrained(str(folder), inner.part, inner.preparation)


def test_a_run_goes_on_from_the_weights_of_a_classifier_where_they_are_named(
    classifier: Path, digits: tuple[Path, Path], tmp_path: Path
) -> None:
    part = load_classifier(classifier).encoder.part.model_dump()
    how: dict = {"method": "rotation", "encoder": part, "steps": 1, "batch_size": 8, "map": 0, "size": 8}
    how |= {"precision": "32-true", "layout": "contiguous", "out": tmp_path / "run"}
    with pytest.raises(UsageError, match=r"is a classifier: name the folder of its weights, .*/classifier$"):
        selftaught.pretrain(digits[0], init=classifier, **how)
    began = selftaught.pretrain(digits[0], init=classifier / "classifier", **how)
    inner = load_classifier(classifier).encoder.net.state_dict()
    theirs = selftaught.load_encoder(began.folder / "initial").net.state_dict()
    assert all(torch.equal(theirs[name], x) for name, x in inner.items() if x.dtype.is_floating_point)
