"""The command line: exit codes, one-line errors, JSON alone on standard output."""

import errno
import gc
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

import click
import pytest

import selftaught
from selftaught.commands.cli import COMMANDS, main, main_group, run_command
from selftaught.commands.listing import methods, methods_table
from selftaught.commands.python import Run
from selftaught.commands.table import Command
from selftaught.contracts.modality import encoder_meant
from selftaught.judging.finetune import BY_DEFAULT, Tuning
from selftaught.reporting import run_page
from selftaught.run.recipes import Methods
from selftaught.system.components import options
from selftaught.system.errors import MemoryFull

QUICK = [
    "--method",
    "rotation",
    "--encoder",
    "test_resnet",
    "--steps",
    "2",
    "--batch-size",
    "8",
    "--size",
    "16",
]
QUICK += ["--precision", "32-true", "--layout", "contiguous"]


def test_the_main_job_from_folder_to_verdict(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert run_command(["pretrain", str(photos), *QUICK, "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == out and told["steps"] == 2 and told["final_terms"].keys() == {"cross_entropy"}
    assert 0 < told["health"]["feature_spread"] < 1.2 and told["health"]["rankme"] > 1

    assert run_command(["evaluate", out, "--train", str(photos), "--probe", "knn", "--labels", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["features"] for row in told["rows"]} == {"trained", "untrained", "pixels"}
    assert all(0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1 for row in told["rows"])
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["verdict"] == told["verdict"]

    file = str(tmp_path / "features.npz")
    assert run_command(["embed", out, str(photos), "--out", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == file
    assert run_command(["export", out, "--to", "onnx", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert Path(exported["out"]).exists() and exported["deviation"] < 1e-4

    assert run_command(["report", out]) == 0 and (tmp_path / "run" / "report.html").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
def test_a_class_whose_name_is_no_text_is_judged(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "red").rename(os.fsdecode(os.fsencode(photos) + b"/caf\xe9"))
    out = str(tmp_path / "run")
    assert run_command(["pretrain", str(photos), *QUICK, "--out", out]) == 0
    assert run_command(["evaluate", out, "--train", str(photos), "--probe", "knn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["blue", "caf\\xe9"]
    assert run_command(["report", out, "--labels", str(photos)]) == 0


def test_embedding_gives_the_features_of_each_key(photos: Path, tmp_path: Path) -> None:
    import numpy as np
    from pyarrow import parquet

    out = str(tmp_path / "run")
    assert run_command(["pretrain", str(photos), *QUICK, "--out", out]) == 0
    for name in ("features.npz", "features.parquet"):
        assert run_command(["embed", out, str(photos), "--out", str(tmp_path / name)]) == 0
    stored = np.load(tmp_path / "features.npz", allow_pickle=False)
    rows = parquet.read_table(tmp_path / "features.parquet").to_pylist()
    assert list(stored["keys"]) == [row["key"] for row in rows] and len(rows) == 48
    assert np.allclose(stored["features"], [row["features"] for row in rows])
    assert stored["keys"][0] == "blue/000.jpg" and stored["features"].std() > 0


def test_dotted_options_reach_their_parts(photos: Path, tmp_path: Path) -> None:
    flags = [
        "--method",
        "simclr",
        "--method.temperature",
        "0.3",
        "--encoder.stem=timm",
        "--views.strong.jitter",
        "0.1",
    ]
    flags += ["--views.strong.crop", "0.5,1", "--training.optimizer", "sgd", "--training.warmup", "0"]
    out = tmp_path / "run"
    assert run_command(["pretrain", str(photos), *QUICK, *flags, "--out", str(out)]) == 0
    recipe = Run(out).recipe
    assert recipe.method.options == {"temperature": 0.3} and recipe.encoder.options == {"stem": "timm"}
    assert recipe.views == {"strong": {"jitter": 0.1, "crop": [0.5, 1]}}
    assert recipe.training.items() >= {"optimizer": "sgd", "warmup": 0}.items()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["pretrian", "x"], 2, "did you mean 'pretrain'"),
        (["pretrain", "x", "--epocs", "3"], 2, "--epochs"),
        (["pretrain", "x", "--method", "simclear"], 2, "did you mean 'simclr'"),
        (["pretrain", "x", "--method.temperatur", "3"], 2, "--method.temperature"),
        (["pretrain", "x", "--epochs", "some"], 2, "--epochs cannot be 'some'"),
        (["pretrain", "nowhere", "--method", "rotation"], 3, "nowhere"),
        (["pretrain", "."], 3, "no images"),
        (["evaluate", "nowhere", "--train", "x"], 2, "not a run folder"),
        (["embed", "nowhere", "x", "--out", "f.npz"], 2, "not a run folder"),
        (["encoders", "nonsense"], 2, "no encoder's name contains 'nonsense'"),
    ],
)
def test_a_mistake_gets_one_line_and_its_exit_code(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(args) == code
    captured = capsys.readouterr()
    assert not captured.out and captured.err.count("\n") == 1 and said in captured.err
    assert captured.err.startswith("error: ") and not list(tmp_path.iterdir())


def fails(code: int, *told: Any) -> None:
    raise OSError(code, os.strerror(code), "page")


def test_a_path_that_cannot_be_written_is_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run_command(["pretrain", str(photos), *QUICK, "--out", str(out)]) == 0
    capsys.readouterr()
    assert run_command(["report", str(out), "--out", str(tmp_path)]) == 2
    assert "is a folder; name a file" in capsys.readouterr().err
    assert run_command(["report", str(out), "--out", str(out / "recipe.yaml" / "page.html")]) == 2
    assert "choose another path" in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_page, "write_atomically", partial(fails, errno.EROFS))
        assert run_command(["report", str(out)]) == 2  # not 75, after which whoever waits for room would try for ever
        assert "choose another path" in capsys.readouterr().err
        patched.setattr(run_page, "write_atomically", partial(fails, errno.ENOSPC))
        assert run_command(["report", str(out)]) == 75
        assert "make room" in capsys.readouterr().err
    assert run_command(["report", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out / "report.html")}


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output is a pipe that nobody reads any more."""
    there, here = os.pipe()
    os.close(there)
    with TextIOWrapper(FileIO(here, "w"), write_through=True) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield
        monkeypatch.undo()


@pytest.mark.parametrize("words", [["encoders"], ["encoders", "--json"], ["--help"], ["encoders", "--help"]])
def test_who_reads_no_more_ends_no_work(words: list[str], unread: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(words) == 0
    assert capsys.readouterr().err == ""


def test_a_pipe_of_the_work_that_breaks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Command, "function", property(lambda row: partial(fails, errno.EPIPE)))
    assert run_command(["encoders"]) == 1
    assert "error: this is a bug: RuntimeError: [Errno 32]" in capsys.readouterr().err


def test_streams_that_are_closed_end_no_work_and_give_their_numbers_to_no_file(tmp_path: Path) -> None:
    """As `<&- >&- 2>&-` of a shell closes them; none of it is told to anybody, so a file has to have it."""
    lines = "from pathlib import Path; import os, sys; from selftaught.commands.cli import main\n"
    lines += "from selftaught.system.saying import say; from selftaught.commands.table import Command\n"
    lines += "def listed(recipe):\n    say('a line')\n    taken = os.open('own', os.O_CREAT)\n"
    lines += "    kept = all(map(os.get_inheritable, range(3)))\n    Path('told').write_text(f'{taken > 2} {kept}')\n"
    lines += "    return ['one']\n"
    lines += "Command.function = property(lambda row: listed)\nmain(['encoders'])"
    closed = "import os, sys; os.closerange(0, 3); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", closed, lines], cwd=tmp_path, env=told).returncode == 0
    assert (tmp_path / "told").read_text() == "True True"


def test_no_command_at_all_is_answered_by_the_help_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.startswith("Usage: selftaught [OPTIONS] COMMAND [ARGS]...\n")
    assert captured.err.count("\n") > len(COMMANDS)


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (["check", "sklearn:digits"], "use a smaller --batch-size or --size"),
        (["preview", "sklearn:digits"], "use a smaller --size"),
        (["pack", "sklearn:digits", "--out", "x"], "use a smaller --workers"),
        (["encoders"], "end what else takes memory, or use a machine that has more"),
    ],
)
@pytest.mark.parametrize("error", [MemoryError(), MemoryFull("out of memory: none left")])
def test_what_takes_less_memory_is_what_the_command_can_be_told(
    words: list[str],
    way: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(recipe: Any) -> None:
        raise error

    monkeypatch.setattr(Command, "function", property(lambda row: work))
    assert run_command(words) == 5
    assert capsys.readouterr().err == f"error: out of memory: none left; {way}\n"


def test_a_file_that_may_not_grow_is_not_told_to_need_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Command, "function", property(lambda row: partial(fails, errno.EFBIG)))
    assert run_command(["encoders"]) == 75
    assert "'page'; let files be larger (ulimit -f), then say the same again" in capsys.readouterr().err


def test_methods_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["methods", "--json"]) == 0
    methods = {method["name"]: method for method in json.loads(capsys.readouterr().out)}
    assert methods["simclr"]["family"] == "contrastive" and methods["simclr"]["kind"] == "negatives"
    assert methods["mae"]["needs_tokens"] and not methods["rotation"]["needs_tokens"]
    asked = {name: set(method["data"]) for name, method in methods.items()}
    assert asked["simclr"] == {"images", "audio", "series", "tables", "text"}
    assert asked["mae"] == asked["simclr"] - {"text"} and asked["mlm"] == {"text"}
    assert asked["rotation"] == asked["colorization"] == asked["distill"] == {"images"}
    option = next(o for o in methods["simclr"]["options"] if o["name"] == "temperature")
    assert option["type"] == "float" and 0 < option["default"] < 1
    assert all(method["question"].endswith("?") and method["paper"].startswith("http") for method in methods.values())


def test_methods_tell_what_they_need_and_what_their_options_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["methods", "--json"]) == 0
    listed = {method["name"]: method for method in json.loads(capsys.readouterr().out)}
    assert listed["distill"]["needs_teacher"] is True and listed["simclr"]["needs_teacher"] is False
    assert listed["exemplar"]["no_tokens"] and listed["simclr"]["whole_views"] is False
    dino = {option["name"]: option for option in listed["dino"]["options"]}
    assert dino["last_layer"]["choices"] == ["normal", "uniform"] and "choices" not in dino["momentum"]
    assert dino["momentum"]["bounds"] == "a number from 0 to 1" and "bounds" not in dino["norm"]
    assert dino["norm"]["about"] == "`norm` puts batch norm into the head" and "about" not in dino["momentum"]
    warp = next(one for one in listed["transformation_recognition"]["options"] if one["name"] == "warp")
    assert warp["about"] == "deviation of the logarithm of the pace"


def test_the_table_of_methods_tells_what_cannot_be_asked_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    table = methods_table(methods(Methods()))
    names, encoders, data = (list(table.columns[place].cells) for place in (2, 4, 5))
    told = {name: (encoder, kinds) for name, encoder, kinds in zip(names, encoders, data)}
    assert told["simclr"] == ("any", "any") and told["mae"] == ("tokens", "no text")
    assert told["distill"] == ("any, --teacher", "images") and told["exemplar"] == ("no tokens", "any")
    assert told["ts2vec"] == ("any", "series") and told["tsdae"] == ("any", "text")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("methods SimCLR", "SimCLR is a method: see selftaught pretrain --method simclr --help-all"),
        ("methods no_method", "there is no place for no_method: selftaught methods [OPTIONS]"),
        ("pretrain photos/ more photos/", "there is no place for more photos/: selftaught pretrain [OPTIONS] DATA"),
    ],
)
def test_a_word_without_a_place_is_answered_by_how_a_command_is_called(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(words.split()) == 2 and capsys.readouterr().err == f"error: {said}\n"


def test_help_says_what_an_option_is_for_and_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["pretrain", "--method", "dino", "--help-all"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for said in (
        "--method.momentum VALUE a number from 0 to 1; default: 0.99",
        "--method.norm VALUE `norm` puts batch norm into the head; true or false; default: False",
        "that are learnt without `norm_last_layer`; normal or uniform; default: normal",
        "--encoder.drop_path VALUE a share below 1; default: 0.0",
        "--training.optimizer VALUE adamw or sgd or lars or adam; default: adamw",
    ):
        assert said in text


def test_encoders_can_be_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["encoders", "torchvision/resnet15", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["torchvision/resnet152"]
    assert run_command(["encoders"]) == 0
    assert "resnet18" in capsys.readouterr().out.splitlines()


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    """What a person waits for who asks for help is imports; how long is measured by bench/startup.py."""
    code = "import sys; from selftaught.commands.cli import run_command; assert run_command(['--help']) == 0; "
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in COMMANDS)
    heavy = {
        "torch",
        "numpy",
        "sklearn",
        "scipy",
        "timm",
        "PIL",
        "pyarrow",
        "pandas",
        "pydantic",
        "rich",
        "jinja2",
        "yaml",
    }
    assert not heavy & set(done.stderr.split())


def test_importing_the_package_imports_no_torch() -> None:
    code = "import selftaught, selftaught.commands.flags, selftaught.reporting.watch, sys; "
    code += "assert not {'torch', 'sklearn'} & set(sys.modules); selftaught.Method; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_garbage_is_looked_for_once_all_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def function(row: object) -> object:
        searched.append(gc.isenabled())
        kept = gc.get_freeze_count()
        return lambda recipe: searched.extend([gc.isenabled(), gc.get_freeze_count() > kept]) or []

    monkeypatch.setattr(Command, "function", property(function))
    with pytest.raises(SystemExit, match="0"):
        main(["methods"])
    assert searched == [False, True, True]


def test_the_help_of_a_method_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["pretrain", "--method", "mae", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--method.mask_ratio" in told and "--views.light.crop" not in told
    assert run_command(["pretrain", "--method", "mae", "--help-all"]) == 0
    told = capsys.readouterr().out
    assert "--method.mask_ratio" in told and "--views.light.crop" in told and "--encoder.stem" in told


def test_the_help_of_fine_tuning_says_what_each_option_is_that_nobody_names(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("finetune", "evaluate"):
        assert run_command([name, "--help-all"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "--finetune.epochs VALUE a positive number; default: 30, in 100 to 2,000 steps" in told
        assert "a share, above 0; default: 0.75 for transformers, else 1" in told
        assert "default: 0.2 for a classifier; else 0.1 from 500 labels on, below that none" in told
    assert {name for name, option in options(Tuning).items() if option.default is None} == set(BY_DEFAULT)


@pytest.mark.parametrize("flag", ["--help", "-h", "--help-all"])
def test_asking_for_help_hides_no_word_that_follows(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["pretrain", flag, "--method", "mae"]) == 0
    shown = capsys.readouterr().out
    assert run_command(["pretrain", "--method", "mae", flag]) == 0
    assert capsys.readouterr().out == shown and "--method.mask_ratio" in shown


@pytest.mark.parametrize("words", [["x.yaml"], ["x.yml", "--json"], ["--data=x.yaml"], ["--data", "x.yaml"]])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_of_settings_that_cannot_be_used_is_one_line(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Where data has to be named that is what the word is taken for, and no such data is there.
    taken = name in ("check", "preview", "pretrain", "compare") and not words[0].startswith("--")
    assert run_command([name, *words]) == (3 if taken else 2)
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1 and told.err.startswith("error: ")


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="there are no such names of pipes")
def test_settings_can_come_from_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    there, here = os.pipe()
    try:
        with os.fdopen(here, "w") as stream:
            stream.write("method: {name: mae, options: {}}\nepochs: -1\n")
        assert run_command(["pretrain", "x", "--recipe", f"/dev/fd/{there}", "--method.mask_ratio", "0.5"]) == 2
    finally:
        os.close(there)
    assert "--epochs cannot be -1" in capsys.readouterr().err


def test_the_help_of_a_large_command_is_a_screen_and_all_of_it_has_parts(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (name for name, row in COMMANDS.items() if row.recipe.TITLES):
        assert run_command([name, "--help"]) == 0
        short = capsys.readouterr().out
        assert short.count("\n") < 70 and "--help-all" in short and COMMANDS[name].example in short
        assert run_command([name, "--help-all"]) == 0
        told = capsys.readouterr().out
        assert all(f"\n{title}:\n" in told for field, title in COMMANDS[name].recipe.TITLES.items())
        fields = COMMANDS[name].recipe.model_fields
        assert {*COMMANDS[name].recipe.FIRST, *COMMANDS[name].recipe.TITLES} <= {*fields, "recipe", "as_json"}
        assert name != "compare" or "[default: 2.1 GB]" in told  # of its memory


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_is_short_and_has_all_where_it_is_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([name, "--help"]) == 0
    short = capsys.readouterr().out
    assert short.count("\n") < 70 and ("--help-all" in short) == bool(COMMANDS[name].recipe.TITLES)
    assert run_command([name, "--help-all"]) == 0
    told = capsys.readouterr().out
    command = main_group.get_command(click.Context(main_group), name)
    assert command
    shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert all(one.opts[0] in told for one in shown)
    assert COMMANDS[name].recipe.TITLES or told == short


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_like_none_is_answered_by_where_they_are_listed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([name, "--zzzz"]) == 2
    assert capsys.readouterr().err == f"error: there is no --zzzz; see selftaught {name} --help-all\n"


def test_every_example_is_understood() -> None:
    examples = [(name, one) for name, row in COMMANDS.items() for one in (row.example, row.another) if one]
    assert len(examples) > len(COMMANDS)
    for name, example in examples:
        words = shlex.split(example)
        assert words[:2] == ["selftaught", name]
        command = main_group.get_command(click.Context(main_group), name)
        assert command
        command.make_context(name, words[2:])


@pytest.mark.parametrize(
    ("method", "encoder"), [("SimCLR", "Test-ResNet"), ("Sim-CLR", "TEST_RESNET"), ("sim clr", "test_resnet")]
)
def test_methods_and_encoders_are_known_however_they_are_written(method: str, encoder: str, tmp_path: Path) -> None:
    few = {"steps": 1, "batch_size": 8, "limit": 16, "precision": "32-true", "map": 0, "layout": "contiguous"}
    run = selftaught.pretrain("sklearn:digits", method=method, encoder=encoder, out=tmp_path / "run", **few)
    assert (run.recipe.method.name, run.recipe.encoder.name) == ("simclr", "test_resnet")
    assert encoder_meant("MLP") == "mlp" and encoder_meant("resnet18.a1_in1k") == "resnet18.a1_in1k"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretrain", "x", "--accelerator", "gpu"], "there is no --accelerator; here it is --device"),
        (["pretrain", "x", "--max_epochs", "9"], "there is no --max_epochs; here it is --epochs"),
        (["pretrain", "x", "--mehtod", "mae"], "there is no --mehtod; did you mean '--method'?"),
        (["pretrain", "x", "--method", "Rotaton"], "no method named 'Rotaton'; did you mean 'rotation'?"),
        (["finetune", "runs/x"], "LABELLED is missing: selftaught finetune [OPTIONS] RUN LABELLED"),
        (
            ["finetune", "runs/x", "labelled", "--out", "y", "--labels", "5"],
            "evaluate RUN --probe finetune --labels 5`",
        ),
        (["evaluate", "runs/x"], "--train is missing: labelled images to learn the classifier from"),
        (["compare", "x", "--methods", "Barlow Twins,vic"], "named 'vic'; did you mean 'vicreg'?"),
    ],
)
def test_what_people_bring_along_is_answered_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(words) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
