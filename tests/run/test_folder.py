"""Whose a run folder is: what a person has in one is never removed, read through a link, or taken for a run."""

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from selftaught.commands.cli import run_command
from selftaught.commands.python import Run
from selftaught.reporting.run_page import page_of
from selftaught.run.layout import ALL, FOLDERS, NAMES, owned
from selftaught.system.ownership import MANIFEST, begin, manifest_of, own, refuse_strangers
from tests.networks import HALVED, flags
from tests.reliability.faults import at_point, in_child, points

QUICK = ["--method", "rotation", *flags(HALVED), "--steps", "2", "--batch-size", "8", "--size", "16"]
QUICK += ["--precision", "32-true", "--layout", "contiguous", "--limit", "32"]
DUMP = dict.fromkeys(("data", "method", "seed", "out", "resume", "overwrite"))
STATUS = {"state": "done", "reason": "", "exit_code": 0}


def pretrain(out: Path, *more: str, data: str = "sklearn:digits") -> int:
    return run_command(["pretrain", data, *QUICK, "--out", str(out), *more])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a little of everything, which no test changes."""
    out = tmp_path_factory.mktemp("made") / "run"
    logger = ["--logger", "tensorboard"] if find_spec("tensorboard") else []
    assert pretrain(out, "--profile", *logger, "--steps", "14") == 0
    assert run_command(["report", str(out)]) == 0
    assert run_command(["evaluate", str(out), "--train", "sklearn:digits", "--limit", "60", "--probe", "knn"]) == 0
    return out


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def without_list(run: Path) -> None:
    """As a run was before there were lists."""
    (run / MANIFEST).unlink()


def test_everything_in_a_run_is_in_its_list(made: Path) -> None:
    known = manifest_of(made)
    assert known and known.kind == "pretrain"
    assert {path.name for path in made.iterdir()} <= known.names <= set(ALL)
    assert {"evaluation.json", "evaluations", "report.html"} <= known.names
    refuse_strangers(made, owned(known.names))
    assert {"profile.json", "map", "encoder", "checkpoints"} <= {path.name for path in made.iterdir()}
    assert FOLDERS.keys() < set(ALL) and NAMES.keys() == {"pretrain", "finetune"}


def test_a_run_alone_in_its_folder_is_replaced(run: Path) -> None:
    before = manifest_of(run)
    assert pretrain(run, "--overwrite") == 0
    after = manifest_of(run)
    assert before and after and before.id != after.id and not {"evaluation.json", "report.html"} & after.names
    held = {path.name for path in run.iterdir()}
    assert not held & {"evaluation.json", "evaluations", "report.html", "tensorboard", "profile.json"}
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["last", "step_0000002"]


STRANGERS = {  # and what is said to be in the way
    "thesis/chapter1.tex": "thesis",
    "labels.csv": "labels.csv",
    ".notes": ".notes",
    "run-2/recipe.yaml": "run-2",
    "checkpoints/old.pt": "checkpoints/old.pt",
    "checkpoints/mine/a.pt": "checkpoints/mine",
    "checkpoints/step_0000014/x": "checkpoints/step_0000014/x",
    "encoder/notes.md": "encoder/notes.md",
    "map/step_1/x": "map/step_1",
    "evaluations/mine.json": "evaluations/mine.json",
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("name", STRANGERS)
def test_what_a_person_has_in_a_run_keeps_it_from_being_replaced(
    name: str, listed: bool, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not listed:
        without_list(run)
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text("years of work")
    before = content(run)
    assert pretrain(run, "--overwrite") == 2
    told = capsys.readouterr().err
    assert f"holds what selftaught did not write: {STRANGERS[name]}; move that away" in told
    assert told.count("\n") == 1 and content(run) == before


def test_a_list_does_not_make_a_persons_file_ours(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own(run, "thesis.tex")
    (run / "thesis.tex").write_text("years of work")
    assert pretrain(run, "--overwrite") == 2
    assert "did not write: thesis.tex" in capsys.readouterr().err and (run / "thesis.tex").exists()


def test_a_run_from_before_there_were_lists_is_replaced_and_resumed(run: Path) -> None:
    without_list(run)
    assert pretrain(run, "--resume", "--steps", "14") == 0
    known = manifest_of(run)
    assert known and {path.name for path in run.iterdir()} <= known.names
    without_list(run)
    assert pretrain(run, "--overwrite") == 0
    assert manifest_of(run) and not (run / "evaluation.json").exists()


def test_a_replacing_that_is_cut_anywhere_is_begun_again(run: Path) -> None:
    """And what it removes, it removes by its list: a person's file that appears in the middle stays."""
    without_list(run)
    spare = run.parent / "spare"

    def replace() -> None:
        with Run(spare).claimed(resume=False, overwrite=True):
            pass

    shutil.copytree(run, spare)
    calls = points(replace)
    assert calls.count("unlink") > 20 and "rmdir" in calls
    for number in range(0, len(calls), 3):
        shutil.rmtree(spare)
        shutil.copytree(run, spare)

        def die(number: int = number) -> None:
            with at_point(number, lambda name: os._exit(99)):
                replace()

        assert in_child(die) == 99
        replace()
        assert {path.name for path in spare.iterdir()} <= {MANIFEST}, calls[number]


@pytest.mark.parametrize(
    "files",
    [
        {"checkpoints/weights.pt": "mine"},
        {"recipe.yaml": "mine: 1\n"},
        {"recipe.yaml": "method: simclr\nepochs: 3\n"},  # written by hand, for --recipe
        {"status.json": "{}"},
        {"status.json": '{"state": "ok"}'},
        {"selftaught.jsonl": "{}\n"},
        {"run.log": "mine", "lock": "mine"},
    ],
)
@pytest.mark.parametrize("how", ["--overwrite", "--resume", ""])
def test_a_common_name_makes_no_folder_a_run(
    files: dict[str, str], how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    for name, text in {"labels.csv": "a,b\n", **files}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    before = content(project)
    assert pretrain(project, *filter(None, [how])) == 2
    told = capsys.readouterr().err
    assert "choose another --out" in told and told.count("\n") == 1 and content(project) == before


def test_a_run_that_is_still_needed_is_not_replaced(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(run)
    for init in (run, run / "encoder" / "model.safetensors"):
        assert pretrain(run, "--overwrite", "--init", str(init)) == 2
        assert f"--init {init} lies in" in capsys.readouterr().err
    assert pretrain(run, "--overwrite", data=str(run)) == 2
    assert "DATA" in capsys.readouterr().err and content(run) == before


def test_a_log_that_a_shell_has_begun_is_written_on_and_never_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out := tmp_path / "run").mkdir()
    (out / "run.log").write_text("begun by a shell\n")
    assert pretrain(out) == 0
    assert (out / "run.log").read_text().startswith("begun by a shell\n2")
    assert pretrain(out, "--overwrite") == 2
    assert "did not write: run.log" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lock", "run.log", "recipe.yaml", "metrics.jsonl", "checkpoints", "encoder"])
def test_a_link_in_a_run_folder_is_refused_and_not_followed(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    (run / name).rename(mine) if (run / name).exists() else mine.write_text("my precious file\n")
    (run / name).symlink_to(mine)
    before = content(mine) if mine.is_dir() else mine.read_bytes()
    commands = [["pretrain", "sklearn:digits", *QUICK, "--out", str(run), how] for how in ("--resume", "--overwrite")]
    for command, code in [*((c, 2) for c in commands), (["report", str(run), "--out", str(tmp_path / "page.html")], 0)]:
        assert run_command(command) == code
        assert f"{name} is a link, which is not followed" in capsys.readouterr().err
    assert (content(mine) if mine.is_dir() else mine.read_bytes()) == before


@pytest.mark.parametrize("name", ["quarantine.csv", "environment.json", "data.json", "evaluation.json", "status.json"])
def test_a_page_holds_nothing_that_a_link_leads_to_and_waits_for_no_pipe(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"path": "hunter2", "samples": "hunter2"}')
    (run / name).unlink()
    (run / name).symlink_to(secret)
    assert "hunter2" not in page_of([run])
    (run / name).unlink()
    os.mkfifo(run / name)
    assert run_command(["report", str(run)]) == 0
    assert f"{name} is no regular file, and is left out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["map", "map/end.json", "map/points.npy", "map/sheet.webp", "map/layout.npz"])
def test_a_map_is_not_read_through_links(name: str, run: Path, tmp_path: Path) -> None:
    whole = page_of([run])
    (run / name).rename(tmp_path / "mine")
    (run / name).symlink_to(tmp_path / "mine")
    before = content(tmp_path)
    assert name == "map/layout.npz" or page_of([run]) != whole
    assert {path: held for path, held in content(tmp_path).items() if path in before} == before
    (run / name).unlink()
    os.mkfifo(run / name)
    page_of([run])


def test_an_encoder_in_a_run_is_not_read_through_a_link_and_elsewhere_it_is(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from selftaught.run.export import load_encoder

    weights = run / "encoder" / "model.safetensors"
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    assert run_command(["embed", str(run), "sklearn:digits", "--limit", "9", "--out", str(tmp_path / "x.npz")]) == 2
    assert "model.safetensors is a link" in capsys.readouterr().err
    load_encoder(run / "encoder")  # which the user names, as that of a cache of the Hub's
    weights.unlink()
    os.mkfifo(weights)
    assert run_command(["embed", str(run), "sklearn:digits", "--limit", "9", "--out", str(tmp_path / "x.npz")]) == 2


def evaluate(run: Path, *more: str) -> int:
    return run_command(["evaluate", str(run), "--train", "sklearn:digits", "--probe", "knn", "--json", *more])


def test_each_evaluation_has_a_file_of_its_own(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = json.loads((run / "evaluations" / "1.json").read_text())
    assert first["train_samples"] == 60
    assert evaluate(run, "--limit", "40") == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert f"wrote {run / 'evaluations' / '2.json'}\n" in said.err
    second = json.loads((run / "evaluations" / "2.json").read_text())
    assert second == told == json.loads((run / "evaluation.json").read_text()) and second["train_samples"] == 40
    assert json.loads((run / "evaluations" / "1.json").read_text()) == first
    (run / "evaluations" / "1.json").unlink()
    (run / "evaluations" / "2.json").unlink()
    assert evaluate(run, "--limit", "60") == 0  # the one from before there was a folder of them is kept
    assert [json.loads((run / "evaluations" / f"{n}.json").read_text())["train_samples"] for n in (1, 2)] == [40, 60]


def test_an_evaluation_of_data_whose_name_is_no_utf8_is_kept(run: Path, tmp_path: Path) -> None:
    data = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb9\xb7.npz"))
    digits = load_digits()
    np.savez(data, x=digits.images[:60].astype(np.uint8), y=digits.target[:60] % 2)
    assert run_command(["evaluate", str(run), "--train", str(data), "--probe", "knn", "--repeats", "1"]) == 0
    told = [json.loads((run / name).read_text()) for name in ("evaluations/2.json", "evaluation.json")]
    assert told[0] == told[1] and told[0]["train"] == str(data)


def test_an_evaluation_that_goes_elsewhere_leaves_the_run_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = content(run), tmp_path / "deep" / "mine.json"
    assert evaluate(run, "--limit", "40", "--out", str(out)) == 0
    told = capsys.readouterr()
    assert json.loads(out.read_text()) == json.loads(told.out) and f"wrote {out}" in told.err
    assert content(run) == before
    assert evaluate(run, "--out", str(tmp_path)) == 2 and "must end in .json" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [("EROFS", 2), ("EACCES", 2), ("ENOSPC", 75), ("EDQUOT", 75)])
def test_an_evaluation_that_cannot_be_kept_is_shown_all_the_same(
    error: str, code: int, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    from selftaught.run import evaluations

    def failing(*told: Any) -> None:
        raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)))

    monkeypatch.setattr(evaluations, "write_atomically", failing)
    assert evaluate(run, "--limit", "40") == code
    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"]
    (line,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert "could not be kept" in line and "--out" in line
    assert [path.name for path in (run / "evaluations").iterdir()] == ["1.json"]
    assert Run(run).evaluate("sklearn:digits", limit=40, probe="knn").verdict
    assert "warning: the evaluation could not be kept" in capsys.readouterr().err


def test_an_evaluation_replaces_no_file_of_a_persons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert pretrain(run) == 0
    (run / "evaluation.json").write_text("my own")
    (run / "report.html").write_text("my own")
    assert evaluate(run, "--limit", "40") == 2 and run_command(["report", str(run)]) == 2
    told = capsys.readouterr().err
    assert "evaluation.json is not selftaught's" in told and "report.html is not selftaught's" in told
    assert (run / "evaluation.json").read_text() == (run / "report.html").read_text() == "my own"


MINE = (("report.html", "mine"), ("evaluation.json", "[]"))


def test_nothing_is_written_where_somebody_has_files_called_as_ours(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "bakery"
    (theirs / "checkpoints" / "step_0000001").mkdir(parents=True)
    shutil.copytree(run / "encoder", theirs / "encoder")  # so that it can be judged
    for name, text in (("status.json", '{"state": "baking"}'), ("recipe.yaml", "data: flour"), *MINE):
        (theirs / name).write_text(text)
    before = content(theirs)
    assert run_command(["report", str(theirs)]) == 2 and evaluate(theirs, "--limit", "40") == 2
    assert content(theirs) == before
    assert capsys.readouterr().err.count("is not selftaught's; name a file elsewhere with --out") == 2
    assert run_command(["report", str(theirs), "--out", str(tmp_path / "page.html")]) == 0


def test_an_encoder_alone_is_judged_more_than_once(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(run / "encoder", alone / "encoder")
    (alone / "recipe.yaml").write_text("data: some")
    assert evaluate(alone, "--limit", "40") == 0 and evaluate(alone, "--limit", "50") == 0
    assert [path.name for path in sorted((alone / "evaluations").iterdir())] == ["1.json", "2.json"]
    (alone / "evaluation.json").write_text("my own")
    assert evaluate(alone, "--limit", "40") == 2 and (alone / "evaluation.json").read_text() == "my own"


def test_resuming_what_is_done_leaves_its_times_alone(run: Path) -> None:
    kept = ("state", "time", "seconds", "samples_per_second", "steps", "final_terms")
    status = Run(run).status | {"time": "2026-01-01T00:00:00+00:00", "seconds": 1234.5, "samples_per_second": 99.5}
    (run / "status.json").write_text(json.dumps(status))
    assert pretrain(run, "--resume", "--steps", "14") == 0
    assert {name: Run(run).status[name] for name in kept} == {name: status[name] for name in kept}
    Run(run).set_status("preempted", "stopped by SIGTERM", 75)  # while it was resumed
    (run / "status.json").write_text(json.dumps(Run(run).status | {"time": "2026-01-02T00:00:00+00:00"}))
    assert pretrain(run, "--resume", "--steps", "14") == 0
    assert Run(run).status["state"] == "done" and Run(run).status["seconds"] == 1234.5
    assert Run(run).status["time"] > "2026-01-02T00:00:00+00:00"  # when it was stopped


def test_an_unfinished_classifier_is_replaced_where_nothing_else_is_with_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", str(run), "sklearn:digits", "--limit", "40", "--finetune.epochs", "1", "--out"]
    unfinished = {**STATUS, "state": "preempted", "task": "finetune"}
    for name, status, told in (
        ("foreign", {"state": "preempted", "task": "finetune"}, "holds other files, not a run"),
        ("ours", unfinished, "did not write: corrected, my_notes.md"),
    ):
        out = tmp_path / name
        (out / "corrected").mkdir(parents=True)
        (out / "corrected" / "labels.csv").write_text("a,b")
        (out / "my_notes.md").write_text("what I saw")
        (out / "status.json").write_text(json.dumps(status))
        before = content(out)
        assert run_command([*command, str(out)]) == 2
        assert told in capsys.readouterr().err and content(out) == before
    shutil.rmtree(tmp_path / "ours" / "corrected")
    (tmp_path / "ours" / "my_notes.md").unlink()
    assert run_command([*command, str(tmp_path / "ours")]) == 0
    known = manifest_of(tmp_path / "ours")
    assert known and known.kind == "finetune" and {p.name for p in (tmp_path / "ours").iterdir()} <= known.names
    before = content(tmp_path / "ours")
    labels = str(tmp_path / "ours" / "metrics.json")
    assert run_command([*command, str(tmp_path / "ours"), "--overwrite", "--labels", labels]) == 2
    assert f"--labels {labels} lies in" in capsys.readouterr().err and content(tmp_path / "ours") == before


def test_a_folder_of_ours_that_is_no_run_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, "comparison", ["comparison.yaml"])
    (tmp_path / "comparison.yaml").write_text("data: x")
    before = content(tmp_path)
    for how in ("--overwrite", "--resume"):
        assert pretrain(tmp_path, how) == 2
        assert "holds other files, not a run" in capsys.readouterr().err and content(tmp_path) == before


def test_a_recipe_with_the_fields_of_a_saved_one_is_known(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(DUMP))
    (tmp_path / "metrics.jsonl").touch()
    with Run(tmp_path).claimed(resume=False, overwrite=True):
        assert {path.name for path in tmp_path.iterdir()} == {"lock", MANIFEST}
