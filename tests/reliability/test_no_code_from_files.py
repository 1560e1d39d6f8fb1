"""No file can run code: what would allow it is not in the source, and what tries ends in one clear line."""

import ast
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selftaught.commands.cli import run_command
from selftaught.data.sources.open import open_source

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN = {"os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
FORBIDDEN |= {"yaml.unsafe_load_all", "yaml.full_load_all", "shutil.unpack_archive", "torch.jit.load", "torch.hub.load"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {"extractall", "extract"}  # of an archive: members are read, never written where their names say


def dangers(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that could run what a file says, with its line."""
    names = dict(bound(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if found := MODULES & {module.split(".")[0] for module in modules}:
                yield f"line {node.lineno}: imports {found.pop()}"
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in FORBIDDEN:
                        yield f"line {node.lineno}: imports {node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute | ast.Name) and (named := dotted(node, names)) in FORBIDDEN:
            yield f"line {node.lineno}: {named}"
        if isinstance(node, ast.Call):
            yield from dangers_of_call(node, dotted(node.func, names))


def dangers_of_call(node: ast.Call, called: str) -> Iterator[str]:
    given = {word.arg: word.value for word in node.keywords}
    if called in BUILTINS:
        yield f"line {node.lineno}: {called}()"
    if called == "torch.load" and not is_constant(given.get("weights_only"), True):
        yield f"line {node.lineno}: torch.load without weights_only=True"
    if "allow_pickle" in given and not is_constant(given["allow_pickle"], False):
        yield f"line {node.lineno}: allow_pickle"
    if "shell" in given and not is_constant(given["shell"], False):
        yield f"line {node.lineno}: a shell"
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield f"line {node.lineno}: .{node.func.attr}()"
    if called in ("numpy.load", "torch.load") and any(word.arg is None for word in node.keywords):
        yield f"line {node.lineno}: {called} with keywords that cannot be seen"
    if called == "numpy.load" and len(node.args) > 2:
        yield f"line {node.lineno}: numpy.load with a third place, which is allow_pickle"


def bound(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name.split(".")[0], alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The full name of an expression such as np.load, or ""."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def is_constant(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_in_the_source_runs_what_a_file_says() -> None:
    assert len(SOURCES) > 100
    trees = {file.relative_to(ROOT): ast.parse(file.read_text()) for file in SOURCES}
    found = [f"{file}, {danger}" for file, tree in trees.items() for danger in dangers(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from pickle import loads",
        "import os, joblib as j",
        "from dill import *",
        "import marshal",
        "import shelve",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load",
        "import yaml as y\ny.full_load(text)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "torch.load(path)",
        "import torch as t\nt.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "torch.load(path, weights_only=flag)",
        "torch.load(path, **how)",
        "np.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, 'r', True)",
        "import numpy as np\nnp.load(path, **how)",
        "archive.extractall()",
        "archive.extract(name)",
        "subprocess.run(line, shell=True)",
        "subprocess.Popen(line, shell=flag)",
        "import os\nos.system(line)",
        "from os import system\nsystem(line)",
        "act = os.system",
    ],
)
def test_the_search_finds_what_is_planted(planted: str) -> None:
    assert list(dangers(ast.parse(planted)))


@pytest.mark.parametrize(
    "harmless",
    [
        "np.load(path, allow_pickle=False)",
        "np.load(path, mmap_mode='r')",
        "torch.load(path, weights_only=True)",
        "model.eval()",
        "re.compile(text)",
        "archive.extractfile(name)",
        "yaml.safe_load(text)",
        "subprocess.run([program])",
    ],
)
def test_the_search_lets_the_harmless_pass(harmless: str) -> None:
    assert not list(dangers(ast.parse(harmless)))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable, tuple]:
        return open, (str(self.mark), "w")


class OldBomb(Bomb):
    """The same, by another way in: a state that is set."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return exec, (f"open({str(self.mark)!r}, 'w')",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert run_command([*pretrain("sklearn:digits", out), "--limit", "32"]) == 0
    return out


def pretrain(data: str | Path, out: Path, *more: str) -> list[str]:
    quick = ["--method", "rotation", "--encoder", "test_resnet", "--steps", "1", "--batch-size", "8", "--size", "16"]
    return ["pretrain", str(data), *quick, "--precision", "32-true", "--layout", "contiguous", "--out", str(out), *more]


def evil(kind: str, mark: Path) -> bytes:
    """The content of a file that wants to run something."""
    bombs = np.array([Bomb(mark), OldBomb(mark)], dtype=object)
    buffer = io.BytesIO()
    if kind == "object npy":
        np.save(buffer, bombs, allow_pickle=True)
    elif kind == "object npz":
        np.savez(buffer, x=bombs, allow_pickle=True)
    elif kind == "object labels npz":
        np.savez(buffer, x=np.zeros((2, 8, 8), np.uint8), y=bombs, allow_pickle=True)
    elif kind == "object labels of rows npz":
        np.savez(buffer, x=np.zeros((2, 8)), y=bombs, allow_pickle=True)
    elif kind == "pickle":
        pickle.dump([Bomb(mark), OldBomb(mark)], buffer)
    elif kind == "torch":
        torch.save({"weight": torch.zeros(2), "more": Bomb(mark)}, buffer)
    elif kind == "old torch":
        torch.save({"more": OldBomb(mark)}, buffer, _use_new_zipfile_serialization=False)
    elif kind == "huge header":
        buffer.write((2**62).to_bytes(8, "little") + b"{")
    elif kind == "large header":
        buffer.write((2**26).to_bytes(8, "little") + b'{"a":' * 1000)
    elif kind == "object yaml":
        buffer.write(f"method: !!python/object/apply:builtins.open [{str(mark)!r}, w]\n".encode())
    elif kind == "new yaml":
        buffer.write(f"!!python/object/new:os.system [touch {mark}]\n".encode())
    elif kind == "alias bomb":
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        buffer.write("\n".join([*lines, "views: *a11"]).encode())
    elif kind == "endless":
        buffer.write(b"views: &views\n  strong: *views\n")
    elif kind == "deep":
        buffer.write(b"views: " + b"[" * 5_000)
    elif kind == "not text":
        buffer.write(b"\xff\xfe\x00method")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("object npy", "x.npy", 3),
        ("object npz", "x.npz", 3),
        ("object labels npz", "x.npz", 3),
        ("object labels of rows npz", "x.npz", 3),
        ("pickle", "x.npy", 3),
        ("pickle", "x.npz", 3),
        ("pickle", "x.csv", 3),
        ("pickle", "x.parquet", 3),
        ("pickle", "x.zip", 3),
        ("pickle", "x.tar", 3),
        ("torch", "x.npz", 3),
        ("pickle", "--init x.pth", 2),
        ("torch", "--init x.pth", 2),
        ("old torch", "--init x.pt", 2),
        ("pickle", "--init x.safetensors", 2),
        ("huge header", "--init x.safetensors", 2),
        ("large header", "--init x.safetensors", 2),
        ("object yaml", "--recipe x.yaml", 2),
        ("new yaml", "--recipe x.yaml", 2),
        ("alias bomb", "--recipe x.yaml", 2),
        ("endless", "--recipe x.yaml", 2),
        ("deep", "--recipe x.yaml", 2),
        ("not text", "--recipe x.yaml", 2),
    ],
)
def test_a_file_that_wants_to_run_something_gets_one_line(
    kind: str, name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"
    flag, _, file = name.rpartition(" ")
    (tmp_path / file).write_bytes(evil(kind, mark))
    data = "sklearn:digits" if flag else str(tmp_path / file)
    more = [flag, str(tmp_path / file)] if flag else []
    command = pretrain(data, tmp_path / "run", *more)
    if file.endswith((".csv", ".parquet")) or "rows" in kind:
        command[command.index("test_resnet")], command[command.index("rotation")] = "mlp", "denoising"
    assert run_command(command) == code
    assert one_line(capsys) and not mark.exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("kind", "file", "code"),
    [
        ("object yaml", "recipe.yaml", 2),
        ("alias bomb", "recipe.yaml", 2),
        ("deep", "recipe.yaml", 2),
        ("pickle", "checkpoints/step_0000001/model.safetensors", 3),
        ("torch", "checkpoints/step_0000001/optimizer.safetensors", 3),
        ("pickle", "checkpoints/step_0000001/state.json", 3),
        ("pickle", "checkpoints/step_0000001/manifest.json", 3),
    ],
)
def test_a_run_folder_that_wants_to_run_something_is_not_resumed(
    kind: str, file: str, code: int, run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    with replaced(run / file, evil(kind, mark)):
        capsys.readouterr()
        assert run_command([*pretrain("sklearn:digits", run, "--resume"), "--limit", "32"]) == code
        assert one_line(capsys, last=True) and not mark.exists()


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("pickle", "encoder/model.safetensors"),
        ("huge header", "encoder/model.safetensors"),
        ("torch", "encoder/model.safetensors"),
        ("pickle", "encoder/config.json"),
    ],
)
def test_an_encoder_that_wants_to_run_something_is_not_judged(
    kind: str, file: str, run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    with replaced(run / file, evil(kind, mark)):
        capsys.readouterr()
        assert run_command(["evaluate", str(run), "--train", "sklearn:digits"]) == 2
        assert one_line(capsys) and not mark.exists()


def test_a_config_names_no_module_to_import(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "encoder" / "config.json"
    other = file.read_text().replace('"modality": "images"', '"modality": "demo"').encode()
    with replaced(file, other):
        capsys.readouterr()
        assert run_command(["embed", str(run), "sklearn:digits", "--out", str(run / "f.npz")]) == 2
        assert "was not written by selftaught" in one_line(capsys)


def test_a_member_that_climbs_out_of_its_archive_is_only_a_name(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("L", (4, 4)).save(picture, "PNG")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("../../climbed.png", "/climbed.png"):
            archive.writestr(name, picture.getvalue())
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("../../climbed.png", "/climbed.png"):
            info = tarfile.TarInfo(name)
            info.size = len(picture.getvalue())
            tar.addfile(info, io.BytesIO(picture.getvalue()))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for name in ("x.zip", "x.tar"):
        source: Any = open_source(tmp_path / name)
        assert source.keys == ["/climbed.png"] and source.read(0) == picture.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar", "x.zip"]


class replaced:  # noqa: N801 - reads as a word
    """Another content in a file, for a while."""

    def __init__(self, file: Path, content: bytes) -> None:
        self.file, self.content = file, content

    def __enter__(self) -> None:
        self.before = self.file.read_bytes()
        self.file.write_bytes(self.content)

    def __exit__(self, *_: object) -> None:
        self.file.write_bytes(self.before)


def one_line(capsys: pytest.CaptureFixture[str], last: bool = False) -> str:
    """The one line of error, which is short; `last`: others may come before it."""
    told = capsys.readouterr().err.splitlines()
    assert told and (last or len(told) == 1), told
    assert told[-1].startswith("error: ") and len(told[-1]) < 700 and "bug" not in told[-1], told[-1][:500]
    return told[-1]
