"""A run given to the Hub: a card that says what it is worth, a dry run, and the sending to a stand-in."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import yaml
from huggingface_hub import constants

from selftaught.commands.cli import run_command
from selftaught.reporting.model_card import UNJUDGED, _of_classifier
from selftaught.run.export import load_encoder
from tests.commands.hub import TOKEN, Hub, serving

QUICK = ["--method", "rotation", "--encoder", "test_vit", "--steps", "2", "--batch-size", "8", "--size", "16"]
QUICK += ["--precision", "32-true", "--layout", "contiguous", "--seed", "0", "--map", "0"]
TO = ["--to", "hub:me/digits", "--license", "cc-by-nc-4.0"]


@pytest.fixture(scope="module")
def made(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "run"
    assert run_command(["pretrain", str(pictures), *QUICK, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def judged(made: Path, pictures: Path) -> Path:
    out = made.with_name("judged")
    shutil.copytree(made, out)
    assert run_command(["evaluate", str(out), "--train", str(pictures), "--probe", "knn", "--labels", "5"]) == 0
    return out


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "run"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as standing_in:
        monkeypatch.setenv("HF_ENDPOINT", standing_in.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # a compiled client of servers that are not here
        yield standing_in


def card(folder: Path) -> tuple[dict[str, Any], str]:
    _, head, page = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), page


def test_a_dry_run_writes_all_that_would_be_sent_and_asks_nobody(
    run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", None)
    assert run_command(["export", str(run), *TO, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    files = {path.name: path.stat().st_size for path in (run / "hub").iterdir()}
    assert told["files"] == files and files.keys() == {"README.md", "config.json", "model.safetensors"}
    assert not told["uploaded"] and "nothing was sent: --upload sends" in err and "me/digits" in err
    head, page = card(run / "hub")
    assert head["license"] == "cc-by-nc-4.0" and head["library_name"] == "timm"
    assert head["pipeline_tag"] == "image-feature-extraction" and "rotation" in head["tags"]
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert all(line in page for line in evaluation["verdicts"]) and UNJUDGED not in page
    assert ("pre-training did not help" in page) == ("it did not help" in evaluation["verdict"])
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert (
        f"`{recipe['fingerprint']}`" in page and f"`{pictures.name}`, " in page and "arxiv.org/abs/1803.07728" in page
    )
    settings = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    assert settings["seed"] == 0 and settings["steps"] == 2 and "out" not in settings and "data" not in settings
    for file in ("README.md", "config.json"):  # where somebody's files lie is nobody else's business
        assert str(pictures.parent) not in (run / "hub" / file).read_text()
    assert run_command(["pretrain", str(pictures), *QUICK, "--out", str(run), "--overwrite"]) == 0  # all of it is ours
    assert not (run / "hub").exists()


def test_settings_that_name_no_file_are_told_whole(run: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    begun, words = str(tmp_path / "weights.pt"), str(tmp_path / "tokenizer.json")
    recipe |= {"encoder": {"name": "torchvision/resnet18", "options": {}}, "init": begun, "tokenizer": words}
    recipe["groups"] = "ward/patient"
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run_command(["export", str(run), *TO]) == 0
    _, page = card(run / "hub")
    settings = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    assert settings["encoder"]["name"] == "torchvision/resnet18" and settings["groups"] == "ward/patient"
    assert settings["init"] == "weights.pt" and settings["tokenizer"] == "tokenizer.json"
    assert str(tmp_path) not in page


def test_a_verdict_that_it_did_not_help_is_said_in_plain_words(run: Path) -> None:
    for said in ("it did not help", "it helped", "too close to call"):
        evaluation = json.loads((run / "evaluation.json").read_text())
        line = f"knn, 5 per class: 31.0 ± 8.9 against 76.0 ± 16.7 raw pixels: {said}"
        (run / "evaluation.json").write_text(json.dumps({**evaluation, "verdict": line, "verdicts": [line]}))
        assert run_command(["export", str(run), *TO]) == 0
        assert ("pre-training did not help" in card(run / "hub")[1]) == (said == "it did not help")


def test_a_run_that_nobody_has_judged_says_so(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    for _ in range(2):  # a folder that was made for this is written anew
        assert run_command(["export", str(made), *TO, "--out", str(out)]) == 0
    assert UNJUDGED in card(out)[1] and not (made / "hub").exists()


def test_what_is_sent_is_what_lies_there_and_timm_loads_it_from_the_hub(
    run: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["export", str(run), *TO, "--upload", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["url"] == f"{hub.url}/me/digits" and "sent to" in err
    assert hub.files == {path.name: path.read_bytes() for path in (run / "hub").iterdir()}
    assert (hub.made["name"], hub.made["organization"]) == ("digits", "me") and hub.made["visibility"] == "private"
    written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert TOKEN not in out + err and TOKEN.encode() not in written
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    net = timm.create_model("hf-hub:me/digits", pretrained=True, num_classes=0, cache_dir=tmp_path / "cache").eval()
    encoder = load_encoder(run)
    x = torch.randn(2, *encoder.preparation.shape)
    with torch.no_grad():
        assert torch.allclose(net(x), encoder(x), atol=1e-5)


@pytest.mark.parametrize(
    ("token", "answer", "code", "said"),
    [
        ("hf_AnotherOne", None, 2, "the Hub refuses the token for me/digits (401)"),
        (TOKEN, 403, 2, "the Hub refuses the token for me/digits (403)"),
        (TOKEN, 400, 2, "the Hub does not take me/digits (400): as a test wants it for Bearer ..."),
        (TOKEN, 500, 75, "me/digits was not sent: as a test wants it"),
        ("", None, 2, "there is no token for the Hub: set HF_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_one_line_without_the_token(
    token: str,
    answer: int | None,
    code: int,
    said: str,
    run: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(run / "no_token"))
    monkeypatch.setenv("HF_TOKEN", token)
    hub.answer = answer
    capsys.readouterr()
    assert run_command(["export", str(run), *TO, "--upload"]) == code
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and err.startswith(f"error: {said}") and not hub.files
    if token:
        written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
        assert token not in err and token.encode() not in written
        assert (run / "hub" / "README.md").exists()
    else:
        assert not hub.asked and not (run / "hub").exists()


def test_a_hub_that_cannot_be_reached_may_be_tried_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as hub:
        gone = hub.url
    monkeypatch.setenv("HF_ENDPOINT", gone)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert run_command(["export", str(run), *TO, "--upload"]) == 75
    assert "error: me/digits was not sent: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "hub:me/digits"], "--to hub: needs --license"),
        (["--to", "hub:me/digits", "--license", "My own"], "--license cannot be 'My own': a licence is written as"),
        (
            ["--to", "hub:digits", "--license", "mit"],
            "--to cannot be 'hub:digits': it is onnx, executorch or hub:",
        ),
        (["--to", "hub:me/../x", "--license", "mit"], "--to cannot be 'hub:me/../x'"),
        (["--to", "torch"], "--to cannot be 'torch': it is onnx, executorch or hub:USER/NAME"),
        (["--upload"], "--upload and --license are for --to hub:USER/NAME"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], said: str, judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["export", str(judged), *words]) == 2
    assert said in capsys.readouterr().err and not (judged / "hub").exists()


def test_a_folder_with_others_files_is_left_alone(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert run_command(["export", str(judged), *TO, "--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_classifier_says_how_often_it_is_right(judged: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "birds"
    assert run_command(["finetune", str(judged), str(pictures), "--out", str(out), "--finetune.epochs", "1"]) == 0
    assert run_command(["export", str(out), *TO]) == 0
    head, page = card(out / "hub")
    metrics = json.loads((out / "metrics.json").read_text())
    assert head["pipeline_tag"] == "image-classification" and 'create_model("hf-hub:me/digits"' in page
    assert f"accuracy {metrics['accuracy']:.4g}" in page and f"to {metrics['high']:.4g})" in page
    assert timm.create_model(f"local-dir:{out / 'hub'}", pretrained=True).num_classes == len(metrics["classes"])


def test_the_card_of_a_classifier_says_of_which_measure_its_interval_is_and_on_how_many(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("run: run\nlabelled: birds\n")
    counts = {"samples": 1000, "learnt_from": 800, "held_out": 200, "measured_on": 100}

    def worth(**metrics: Any) -> str:
        (tmp_path / "metrics.json").write_text(json.dumps({**counts, **metrics}))
        return list(_of_classifier(tmp_path))[-1].rstrip()

    classes: dict[str, Any] = {"task": "classes", "accuracy": 0.8, "low": 0.71, "high": 0.867}
    classes |= {"balanced_accuracy": 0.7}
    interval = "accuracy 0.8, balanced_accuracy 0.7 (95 % interval of accuracy: 0.71 to 0.867)."
    assert worth(**classes) == f"On 100 held-out samples: {interval}"
    several = {"task": "several", "mAP": 0.71, "low": 0.66, "high": 0.76, "macro_F1": 0.43}
    assert worth(**several).endswith("macro_F1 0.43, mAP 0.71 (95 % interval of mAP: 0.66 to 0.76).")
    number = {"task": "number", "R2": 0.5, "low": 0.25, "high": 0.75, "MAE": 3.5, "RMSE": 5}
    assert worth(**number).endswith("R2 0.5, MAE 3.5, RMSE 5 (95 % interval of R2: 0.25 to 0.75).")
    assert worth(**{**number, "R2": None, "low": None, "high": None}).endswith("MAE 3.5, RMSE 5.")
    leak = "To be known: the labels tell 'species', which pre-training learnt from."
    assert worth(**classes, leaks=["species"]) == f"On 100 held-out samples: {interval} {leak}"
    assert worth(task="classes", leaks=["species"]).endswith(f"is not known. {leak}")
    tested = {**several, "test": {"mAP": 0.6, "low": 0.5, "high": 0.7}}
    assert worth(**tested) == "On the test set: mAP 0.6 (95 % interval of mAP: 0.5 to 0.7)."
    del counts["measured_on"], classes["task"]  # as they were once written
    assert worth(**classes) == f"On 200 held-out samples: {interval}"
