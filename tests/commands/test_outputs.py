"""Files that commands write by name: their own are written anew, a person's only where --overwrite says so."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import selftaught
from selftaught.commands import demo
from selftaught.commands.cli import run_command
from selftaught.run.classifier import Calibrated, save_classifier
from selftaught.run.export import load_encoder
from selftaught.run.meaning import Meaning
from selftaught.system import written
from selftaught.system.ownership import begin
from tests.networks import HALVED, flags

SMALL = ["--encoder", "test_resnet", "--size", "16"]
JUDGED = ["--probe", "knn", "--repeats", "1", "--pretrained", "none"]
# Of each command the words before the file, how its name ends, and what a person may have under that name.
COMMANDS: dict[str, tuple[list[str], str, bytes]] = {
    "check, the page": (["check", "DATA", *SMALL, "--out"], ".html", b"<html>my own</html>"),
    "check, the list": (["check", "DATA", *SMALL, "--files"], ".csv", b"path,label\na.png,cat\n"),
    "preview": (["preview", "DATA", *flags(HALVED), "--samples", "2", "--out"], ".png", b"\x89PNG\r\n\x1a\nmy own"),
    "preview, a page": (["preview", "DATA", *flags(HALVED), "--samples", "2", "--out"], ".html", b"<html>"),
    "report": (["report", "RUN", "--out"], ".html", b"<html>my own</html>"),
    "embed": (["embed", "RUN", "DATA", "--out"], ".npz", b""),
    "embed as parquet": (["embed", "RUN", "DATA", "--out"], ".parquet", b"my own"),
    "evaluate": (["evaluate", "RUN", "--train", "DATA", *JUDGED, "--out"], ".json", b'{"rows": 3}'),
    "export": (["export", "RUN", "--out"], ".onnx", b"my own"),
    "predict": (["predict", "CLF", "DATA", "--out"], ".csv", b"path,predicted,probability,right\na.png,a,0.5,b\n"),
}


@pytest.fixture(scope="module")
def named(pictures: Path, looking: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What words of a command stand for."""
    encoder, place = load_encoder(looking), tmp_path_factory.mktemp("classifier")
    head = torch.nn.Linear(encoder.dim, 3)
    save_classifier(Calibrated(encoder, head, Meaning(), ["a", "b", "c"]), place / "classifier", {})
    (place / "recipe.yaml").write_text("data: x\n")
    return {"DATA": str(pictures), "RUN": str(looking), "CLF": str(place)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_its_own_file_anew_and_no_other(
    name: str, named: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, ending, mine = COMMANDS[name]
    words = [named.get(word, word) for word in words]
    file = tmp_path / f"named{ending}"
    if name == "embed":
        np.savez(file, x=np.zeros(3), y=np.zeros(3))
        mine = file.read_bytes()
    file.write_bytes(mine)
    assert run_command([*words, str(file)]) == 2 and file.read_bytes() == mine
    flag = words[-1]
    told = f"error: {file} already exists; use --overwrite to replace it, or another {flag}\n"
    assert capsys.readouterr().err.splitlines(keepends=True)[-1] == told
    assert run_command([*words, str(file), "--overwrite"]) == 0 and file.read_bytes() != mine
    assert run_command([*words, str(file)]) == 0  # which is its own now
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_refused_before_the_work(
    named: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from selftaught.commands import embed
    from selftaught.judging import predict

    def never(*told: Any, **more: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(embed, "load_encoder", never)
    monkeypatch.setattr(predict, "scores_of", never)
    (tmp_path / "mine.npz").touch()
    (tmp_path / "mine.csv").touch()
    assert run_command(["embed", named["RUN"], named["DATA"], "--out", str(tmp_path / "mine.npz")]) == 2
    assert run_command(["predict", named["CLF"], named["DATA"], "--out", str(tmp_path / "mine.csv")]) == 2


def test_a_table_of_every_class_is_known_again(named: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    command = ["predict", named["CLF"], named["DATA"], "--out", str(out)]
    for more in (["--all"], [], ["--all"]):
        assert run_command([*command, *more]) == 0
    out.write_text(out.read_text().replace("probability,a,b,c", "probability,c,d,e"))  # of another classifier
    assert run_command([*command, "--all"]) == 0 and "probability,a,b,c" in out.read_text()
    assert run_command(command) == 0
    lines = [f"{line},{more}" for line, more in zip(out.read_text().splitlines(), ["right,by", *["yes,me"] * 40])]
    out.write_text("\n".join(lines))
    assert run_command(command) == 2 and "right" in out.read_text()
    with_a_key = tmp_path / "judged.json"
    judged = ["evaluate", named["RUN"], "--train", named["DATA"], *JUDGED, "--out", str(with_a_key)]
    assert run_command(judged) == run_command(judged) == 0
    with_a_key.write_text(with_a_key.read_text().replace("{", '{"mine": 1, ', 1))
    assert run_command(judged) == 2 and "mine" in with_a_key.read_text()


def test_a_page_is_called_as_pages_are(looking: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(looking), "--out", str(tmp_path / "labels.csv")]) == 2
    assert "labels.csv must end in .html or .htm\n" in capsys.readouterr().err
    assert run_command(["report", str(looking), "--out", str(tmp_path / "page.htm")]) == 0


def test_pages_of_one_command_are_not_anothers(looking: Path, pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run_command(["report", str(looking), "--out", str(page)]) == 0 and written.page("report", "selftaught")(page)
    assert run_command(["check", str(pictures), *SMALL, "--out", str(page)]) == 2
    page.write_text(page.read_text().replace(written.generator("report"), ""))  # as pages were before they had it
    assert run_command(["report", str(looking), "--out", str(page)]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_a_persons(looking: Path, pictures: Path, tmp_path: Path) -> None:
    selftaught.embed(looking, pictures, tmp_path / "there.npz")
    (tmp_path / "link.npz").symlink_to(tmp_path / "there.npz")
    assert run_command(["embed", str(looking), str(pictures), "--out", str(tmp_path / "link.npz")]) == 2
    assert (tmp_path / "link.npz").is_symlink()


def test_the_demo_keeps_out_of_a_persons_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / demo.PAGE).write_text("mine")
    assert run_command(["demo", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: --out {tmp_path} holds other files; name a folder that is empty or not there\n"
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"notes.txt": "mine", demo.PAGE: "mine"}


def test_what_a_command_needs_is_missed_before_the_work(
    named: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from selftaught.commands import embed
    from selftaught.judging import find

    def never(*told: Any, **more: Any) -> None:
        raise AssertionError

    for place, name in ((embed, "load_encoder"), (find, "encoder_of")):
        monkeypatch.setattr(place, name, never)
    for module in ("pyarrow", "pyarrow.parquet", "usearch", "usearch.index"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run_command(["embed", named["RUN"], named["DATA"], "--out", str(tmp_path / "f.parquet")]) == 2
    assert "parquet needs pyarrow: pip install 'selftaught[parquet]'" in capsys.readouterr().err
    kept = ["--index", str(tmp_path / "index"), "--approximate"]
    assert run_command(["find", named["RUN"], named["DATA"], "--like", "a/0.png", *kept]) == 2
    assert "--approximate needs usearch: pip install 'selftaught[search]'" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_files_of_a_run_are_no_place_for_other_commands(
    more: tuple[str, ...], named: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list of a run has the very header of the one that `check` writes, and would be written anew."""
    begin(tmp_path, "pretrain", ("quarantine.csv", "report.html"))
    (tmp_path / "quarantine.csv").write_bytes(b"path,reason\r\na.png,cut\r\n")
    for flag, name in (("--files", "quarantine.csv"), ("--out", "report.html")):
        assert run_command(["check", named["DATA"], *SMALL, flag, str(tmp_path / name), *more]) == 2
        told = f"error: {flag} {tmp_path / name} is what selftaught keeps there itself: choose another {flag}\n"
        assert capsys.readouterr().err == told
    assert (tmp_path / "quarantine.csv").read_bytes() == b"path,reason\r\na.png,cut\r\n"
    assert run_command(["report", named["RUN"], "--out", str(tmp_path / "report.html")]) == 0  # which it is itself


@pytest.mark.parametrize(("code", "ends"), [(errno.EFBIG, 75), (errno.EACCES, 2)])
@pytest.mark.parametrize("named_by_it", [True, False])
def test_an_error_names_the_file_that_was_asked_for(
    code: int,
    ends: int,
    named_by_it: bool,
    named: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not the temporary neighbour that it is written as, and one where a system has named none."""

    def write(file: Path, *told: Any) -> None:
        raise OSError(code, os.strerror(code), *([str(file)] if named_by_it or code == errno.EACCES else []))

    from selftaught.commands import embed

    monkeypatch.setitem(embed.WRITERS, ".npz", write)
    file = tmp_path / "features.npz"
    assert run_command(["embed", named["RUN"], named["DATA"], "--out", str(file)]) == ends
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"[Errno {code}] {os.strerror(code)}: '{file}'; " in told and "~" not in told


def test_a_run_is_no_file(named: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.png").touch()
    words = ["pretrain", named["DATA"], *flags(HALVED), "--steps", "1", "--out", str(tmp_path / "page.png")]
    assert run_command(words) == 2
    told = f"error: {tmp_path / 'page.png'} is a file, and a run is a folder; choose another --out\n"
    assert capsys.readouterr().err == told


def test_a_line_stays_one_whatever_a_path_holds(
    named: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two\nlines.csv"
    assert run_command(["predict", named["CLF"], named["DATA"], "--out", str(file)]) == 0
    assert f"wrote {tmp_path}/two\\x0alines.csv\n" in capsys.readouterr().err
