"""Data that lies elsewhere: fetched by blocks, each once, again where that fails, and no secret kept of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.sources import blocks, distant, stores
from selftaught.data.sources.blocks import BlockCache
from selftaught.data.sources.open import open_source
from selftaught.data.sources.source import Unsteady
from selftaught.system.addresses import copied, redacted
from selftaught.system.context import holding
from selftaught.system.errors import DataError, Interrupted, Unreachable, UsageError
from selftaught.system.interruption import stopping
from selftaught.system.order import Blocks
from tests.data.loopback import COMMIT, Asked, Loopback, serving
from tests.data.test_python import CLASSES, COUNT, FAST, PIXELS
from tests.data.test_shards import plain, sample, struct, tar, written
from tests.networks import as_words
from tests.pictures import encoded
from tests.reliability.forks import forked, reaped

SMALL = 1 << 12  # bytes of a block here; a shard has three
PATTERN = "train-{000..003}.tar"
STEPS = 6  # two epochs
KINDS = ("drop", "truncate", "short", "503")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Four tars on a server, blocks of a few kB, pauses that take no time, and a cache that is empty."""
    (tmp_path / "served").mkdir()
    written(tmp_path / "served", cls=plain)
    monkeypatch.setenv("SELFTAUGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(distant, "BLOCK", SMALL)
    monkeypatch.setattr(blocks, "PAGE", 512)
    monkeypatch.setattr(distant, "pause", lambda seconds: None)
    with serving(tmp_path / "served") as loopback:
        yield loopback


def by_turns(asked: Asked) -> str | None:
    """Something else goes wrong the first time with each part, by its number in its file and that of the file."""
    kind = (*KINDS, "delay", None)[(asked.start // SMALL + int(asked.name[6:9])) % 6]
    return kind if asked.time == 1 else None


def trained(data: str, out: Path, **more: Any) -> dict[str, torch.Tensor]:
    """The weights that a run ends with."""
    own = {**FAST, "steps": STEPS, "memory": 0, "cache": 0, "order": "blocks", **more}
    run = selftaught.pretrain(data, out=out, **own)
    assert run.status["state"] == "done"
    return load_file(out / "checkpoints" / f"step_{STEPS:07d}" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def emptied(source: Any, kept: BlockCache | None = None) -> None:
    """Let the files of a source be read as by another process, which has kept nothing of them, or so much."""
    reader = distant.Reader(kept or BlockCache(most=0))
    for file in source._shards:
        file.reader = reader


def test_what_is_dropped_cut_late_or_refused_is_asked_for_again_and_said(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = open_source(str(server.root / PATTERN))
    monkeypatch.setattr(distant, "SILENT", 0.0)
    monkeypatch.setattr(distant, "SLICE", 0.01)
    said = distant.Reader._say

    def heard(self: distant.Reader, line: str, apart: float) -> None:
        said(self, line, 0)
        if line.startswith("waiting for"):
            server.go_on.set()

    monkeypatch.setattr(distant.Reader, "_say", heard)
    server.fault = by_turns
    source = open_source(f"{server.url}/{PATTERN}")
    assert list(source.keys) == list(wanted.keys) and source.labels == CLASSES
    assert [source.read(row) for row in range(COUNT)] == [*map(encoded, PIXELS)]  # nothing lost, or twice
    assert set(server.faults) == {*KINDS, "delay"}
    assert max(server.parts.values()) == 1  # sent whole once each, whatever went wrong before
    told = capsys.readouterr().err
    for reason in ("error sending request", "response body error", f"2,048 bytes came of {SMALL:,}", "503 Service Una"):
        assert reason in told, reason
    # Of whichever file: the order in which several threads ask is nobody's.
    assert any(f"train-{number:03}.tar, 0 s by now" in told for number in range(4))
    assert "trying again in" in told and "(1 of 12)" in told


def test_a_run_that_is_killed_goes_on_to_the_weights_of_a_run_from_the_disk(server: Loopback, tmp_path: Path) -> None:
    more = {"checkpoint_every": "1", "log_every": 1}
    whole = trained(str(server.root / PATTERN), tmp_path / "whole", **more)
    out, url, process = tmp_path / "killed", f"{server.url}/{PATTERN}", list[subprocess.Popen[str]]()

    def killed_on_the_way(asked: Asked) -> str | None:
        if newest.exists() and newest.read_text() >= "step_0000004":  # in the middle of the second epoch
            process[0].send_signal(signal.SIGKILL)
            return "drop"
        return by_turns(asked) if by_turns(asked) != "delay" else None

    newest = out / "checkpoints" / "last"
    server.fault = killed_on_the_way
    told = {**FAST, **more, "steps": STEPS, "memory": 0, "cache": 0, "order": "blocks", "remote_cache": 0, "out": out}
    program = f"from selftaught.data.sources import distant; distant.BLOCK = {SMALL}; distant.HELD = 1\n"
    program += "distant.pause = lambda seconds: None; from selftaught.commands.cli import main; main()"
    process.append(subprocess.Popen([sys.executable, "-c", program, "pretrain", url, *as_words(told)]))
    assert process[0].wait() == -signal.SIGKILL
    assert newest.read_text() < f"step_{STEPS:07d}" and all(server.faults[kind] > 1 for kind in KINDS)
    server.fault = lambda asked: "503" if asked.time % 2 else None  # every other request from now on
    assert same(trained(url, out, resume=True, **more), whole)


def test_a_server_that_stays_away_ends_a_run_that_can_go_on(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distant, "HELD", 1)
    whole, paused = trained(str(server.root / PATTERN), tmp_path / "whole"), list[float]()
    out, url = tmp_path / "run", f"{server.url}/{PATTERN}"

    def away(step: Any) -> None:
        if step.step == 3:  # after the look at the end of an epoch, before what the last step takes is asked for
            server.fault = lambda asked: "drop"
            monkeypatch.setattr(distant, "pause", paused.append)

    with pytest.raises(Unreachable, match=r"train-00\d.tar cannot be reached: .*; step [345] is kept: ad"):
        trained(url, out, on_step=away, remote_cache=0, checkpoint_every="1000")
    status = selftaught.Run.open(out).status
    assert (status["state"], status["exit_code"]) == ("preempted", 75)
    assert len(paused) >= 11 and max(paused) <= 1  # in slices, between which a stop is heard
    assert 11 * 0.25 < sum(paused) < 8 * 75
    server.fault = lambda asked: None
    assert same(trained(url, out, resume=True), whole)


def test_a_stop_is_heard_while_a_server_is_waited_for(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = list[float]()
    with stopping() as stop:
        source = open_source(f"{server.url}/{PATTERN}")
        emptied(source)
        server.fault = lambda asked: "503"

        def pause(seconds: float) -> None:
            paused.append(seconds)
            stop._signal = "SIGTERM"

        monkeypatch.setattr(distant, "pause", pause)
        with pytest.raises(Interrupted, match="stopped by SIGTERM"):
            source.read(0)
        stop._signal = None
    assert len(paused) == 1


def test_each_block_is_fetched_once_an_epoch_and_never_again_where_there_is_room(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 samples in a block of the order, of which 4 are mixed: 8 blocks of bytes, and there is room for 20 of 128."""
    monkeypatch.setattr(distant, "HELD", 1)
    for shard in range(8):
        tar(server.root / f"many-{shard}.tar", [(f"{row}.png", bytes([shard, row]) * 150) for row in range(64)])
    order = Blocks(seed=0, count=512, size=7)
    assert order.block == 8

    def epoch(source: Any, number: int) -> list[int]:
        """How often it fetches each part, of those that it does."""
        before = server.parts.copy()
        rows = [row for batch in range(73) for row in order(number, batch, 0, 7).tolist()]
        assert len(set(rows)) == 511 and all(source.read(row) == bytes([row // 64, row % 64]) * 150 for row in rows)
        return list((server.parts - before).values())

    with holding(copied, 20 * (SMALL + 32)):
        source = open_source(f"{server.url}/many-{{0..7}}.tar")
    for number in range(2):  # some are left of what came before
        assert 108 <= len(fetched := epoch(source, number)) <= 128 and set(fetched) == {1}
    emptied(source, BlockCache(most=200 * SMALL))
    assert len(epoch(source, 2)) >= 108 and epoch(source, 3) == []


def test_the_budget_holds_the_oldest_goes_and_nothing_else_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocks, "PAGE", 64)
    folder, names = tmp_path / "remote", [f"{number:032x}" for number in range(6)]
    folder.mkdir()
    others = [folder / "photo.block", folder / f"{7:032x}.block.jpg", tmp_path / f"{8:032x}.block"]
    for other in others:
        other.write_bytes(b"x" * 500)
    (folder / f"{9:032x}.block").symlink_to(others[2])
    data = [bytes([number]) * 200 for number in range(6)]
    one, two = BlockCache(folder, 1000), BlockCache(folder, 1000)  # as two processes; a block takes 216 bytes
    for number in range(4):
        (one, two)[number % 2].keep(names[number], data[number])
    held = lambda: [number for number in range(6) if one.holds(names[number])]  # noqa: E731
    for number in range(4):
        os.utime(folder / f"{names[number]}.block", ns=(number, number))
    assert held() == [0, 1, 2, 3] and one.part(names[0], 200, 70, 130) == data[0][70:130]  # used now
    two.keep(names[4], data[4])
    assert held() == [0, 2, 3, 4]
    one.keep(names[5], data[5])
    assert (
        held() == [0, 3, 4, 5] and sum(f.stat().st_size for f in folder.glob("0*.block") if not f.is_symlink()) < 1000
    )
    assert all(other.read_bytes() == b"x" * 500 for other in others) and (folder / f"{9:032x}.block").is_symlink()
    two.keep(f"{10:032x}", b"x" * 2000)  # more than there is room for at all
    assert not two.holds(f"{10:032x}") and held() == [0, 3, 4, 5]
    with (folder / f"{names[5]}.block").open("r+b") as stream:
        stream.seek(100)
        stream.write(b"!")
    assert one.part(names[5], 200, 0, 64) == data[5][:64] and one.part(names[5], 200, 90, 110) is None
    assert "is damaged; what it holds is fetched again" in capsys.readouterr().err and held() == [0, 3, 4]


@pytest.mark.parametrize("left", [0, 64, 100, 150, 200, 210])
def test_a_block_that_was_cut_is_fetched_again(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocks, "PAGE", 64)
    kept, name = BlockCache(tmp_path / "remote", 1000), f"{1:032x}"
    kept.keep(name, bytes(range(200)))
    assert kept.part(name, 200, 130, 200) == bytes(range(130, 200))
    os.truncate(tmp_path / "remote" / f"{name}.block", left)
    assert kept.part(name, 200, 130, 200) is None and not kept.holds(name)
    assert "is damaged; what it holds is fetched again" in capsys.readouterr().err


def test_several_processes_fill_one_folder_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PAGE", 64)
    monkeypatch.setattr(blocks, "say", lambda line: pytest.fail(line))

    def fill(who: int) -> None:
        kept = BlockCache(tmp_path, 2000)  # nine of them
        for number in range(40):
            own = who * number % 60  # some are the same for all
            kept.keep(f"{own:032x}", bytes([own]) * 200)
            assert kept.part(f"{own:032x}", 200, 0, 200) in (None, bytes([own]) * 200)
            with blocks._alone_with(tmp_path / blocks.LEDGER):
                assert sum(file.stat().st_size for file in tmp_path.glob("0*.block")) <= 2000

    assert [reaped(pid) for pid in [forked(partial(fill, who)) for who in (1, 2, 3)]] == [0, 0, 0]
    held = sorted(tmp_path.glob("0*.block"))
    assert 7 <= len(held) <= 9 and all(file.stat().st_size == 216 for file in held)
    assert {file.name for file in tmp_path.iterdir()} == {"held", *(file.name for file in held)}


def test_a_disk_that_takes_no_more_ends_the_keeping_and_not_the_work(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: BlockCache, *told: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlockCache, "_write", full)
    source = open_source(f"{server.url}/{PATTERN}")
    assert [source.read(row) for row in range(COUNT)] == [encoded(pixels) for pixels in PIXELS]
    assert capsys.readouterr().err.count("warning: nothing more is kept in") == 1


def test_a_shard_that_changes_on_the_way_is_named(server: Loopback) -> None:
    url = f"{server.url}/{PATTERN}"
    source = open_source(url)
    tar(server.root / "train-002.tar", [m for row in range(6) for m in sample(row, ("cls", plain(row)))])
    assert source.read(12) == encoded(PIXELS[12])  # from what was kept
    emptied(source)
    with pytest.raises(Unsteady, match=r"train-002.tar has changed since this command first looked at it"):
        source.read(12)
    again = open_source(url)
    assert again.read(12) == encoded(PIXELS[0]) and again.read(11) == encoded(PIXELS[11])


def test_an_answer_of_a_whole_file_is_refused_by_both_readers(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault = lambda asked: "whole"
    for there in (True, False):
        monkeypatch.setattr(stores, "_has_obstore", lambda there=there: there)
        with pytest.raises(DataError, match="sends whole files alone"):
            open_source(f"{server.url}/{PATTERN}")


def test_without_obstore_the_same_is_read_by_fsspec(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_has_obstore", lambda: False)
    server.fault = lambda asked: by_turns(asked) if by_turns(asked) != "delay" else None
    source = open_source(f"{server.url}/{PATTERN}")
    assert [source.read(row) for row in range(COUNT)] == [encoded(pixels) for pixels in PIXELS]
    assert set(server.faults) == {*KINDS}
    with pytest.raises(DataError, match=r"nothing-0.tar cannot be read: it does not exist"):
        open_source(f"{server.url}/nothing-{{0..1}}.tar")
    server.root = server.root / "nowhere"
    with pytest.raises(DataError, match="does not exist"):
        open_source(f"{server.url}/{PATTERN}")


def test_a_bucket_is_read_by_pattern_and_by_folder(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    keys = "[other]\naws_access_key_id = AKIAKEPT\naws_secret_access_key = hushhush\nregion = eu-west-1\n"
    (tmp_path / "home" / ".aws" / "credentials").write_text(keys)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    told = {"HOME": str(tmp_path / "home"), "AWS_PROFILE": "other", "AWS_ENDPOINT_URL": server.url}
    for name, value in {**told, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    stores._objects.cache_clear()
    folder = server.root / "bucket" / "some"
    folder.mkdir(parents=True)
    for file in server.root.glob("*.tar"):
        file.rename(folder / file.name)
    (folder / "README.md").touch()
    for name in (f"s3://bucket/some/{PATTERN}", "s3://bucket/some/"):
        source = open_source(name)
        assert source.name == "train" and source.labels == CLASSES and source.keys[0] == "train-000.tar/0000.png"
        assert [source.read(row) for row in range(COUNT)] == [encoded(pixels) for pixels in PIXELS]
    signed = [headers["authorization"] for headers in server.sent if "authorization" in headers]
    assert signed and all("AKIAKEPT" in line and "/eu-west-1/s3/" in line for line in signed)
    stores._objects.cache_clear()


def test_files_of_the_hub_are_those_of_one_commit(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_options", lambda scheme: {"endpoint": server.url})
    stores._files.cache_clear()
    folder = server.root / "datasets/me/set/resolve" / COMMIT
    folder.mkdir(parents=True)
    for file in server.root.glob("*.tar"):
        file.rename(folder / file.name)
    for name in (f"hf://datasets/me/set/{PATTERN}", "hf://datasets/me/set@main/"):
        source = open_source(name)
        assert source.labels == CLASSES and source.keys[0] == "train-000.tar/0000.png"
        assert [source.read(row) for row in range(COUNT)] == [encoded(pixels) for pixels in PIXELS]
    ranges = [headers["range"] for headers in server.sent if "range" in headers]
    ends = [span.removeprefix("bytes=").split("-") for span in ranges]
    assert ends and all(int(last) - int(first) == SMALL - 1 for first, last in ends)
    stores._files.cache_clear()


def test_files_of_any_scheme_and_single_ones_are_read(server: Loopback) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for part in range(2):
        with memory.open(f"/box/p-{part}.parquet", "wb") as stream:
            parquet.write_table(struct(12 * part, 12 * part + 12), stream, row_group_size=5)
    for name in ("memory://box/p-{0..1}.parquet", "memory://box/"):
        source = open_source(name)
        assert source.labels == CLASSES and source.read(13) == encoded(PIXELS[13]) and source.keys[13] == "p-1/1"
    np.save(server.root / "all.npy", PIXELS)
    assert np.array_equal(open_source(f"{server.url}/all.npy").images, PIXELS)  # type: ignore[union-attr]
    assert open_source(f"{server.url}/train-001.tar").keys[:] == [f"{row:04d}.png" for row in range(6, 12)]
    with pytest.raises(UsageError, match="no columns with names of their own"):
        open_source(f"{server.url}/train-001.tar", column="png")
    memory.rm("/box", recursive=True)


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("nosuch://box/a.tar", UsageError, "nosuch:// cannot be read: Protocol not known: nosuch"),
        ("file:///box/a.tar", UsageError, "file:// is of this machine: name the path itself"),
        ("memory://box/", DataError, "cannot be read: it does not exist"),
        ("https://nowhere/rows.csv", DataError, "the ending of https://nowhere/rows.csv is none of these: .zip"),
        ("https://nowhere/a/", DataError, "a web server lists no folders: name its files by a pattern"),
        ("s3:///", DataError, "s3:/// cannot be read: "),
        ("s3:///a-{0..1}.tar", DataError, "s3:///a-0.tar cannot be read: "),
        ("https://ex ample/a-{0..1}.tar", DataError, "a-0.tar cannot be read: invalid international domain name"),
    ],
)
def test_what_cannot_be_read_from_elsewhere_is_said(name: str, error: type, line: str) -> None:
    with pytest.raises(error, match=line):
        open_source(name)


@pytest.mark.parametrize("content", [b"hushhush\n", b"[default]\nhushhush\n", b"[default]\na = \xff\xffhushhush\n"])
def test_a_file_of_profiles_that_is_none_is_named_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_bytes(content)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    stores._objects.cache_clear()
    for name in ("s3://bucket/a.tar", "s3://bucket/a-{0..1}.tar", "s3://bucket/a/"):
        assert run_command(["check", name]) == 2
        said = capsys.readouterr().err
        assert "config is no file of profiles as AWS has them: mend it" in said and "hushhush" not in said


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_has_obstore", lambda: False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    stores._files.cache_clear()
    with pytest.raises(UsageError, match=r"s3:// needs more than is installed: pip install 'selftaught\[remote\]'"):
        open_source("s3://bucket/a.tar")


SECRETS = {
    "https://me:hushhush@host/a.tar": "https://...@host/a.tar has a user or password",
    "https://hushhush@host/a.tar": "https://...@host/a.tar has a user or password",
    "s3://key:hushhush@bucket/a-{0..9}.tar": r"s3://...@bucket/a-{0..9}.tar has a user or password",
    "https://host/a.tar?X-Amz-Signature=hushhush": "https://host/a.tar?... has what follows its ?",
    "HTTPS://host/a-{0..3}.tar?sig=hushhush": "HTTPS://host/a-{0..3}.tar?... has what follows its ?",
}


def test_no_secret_in_an_address_is_kept_or_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, line in SECRETS.items():
        for words in (["pretrain", name, "--out", "run"], ["check", name], ["embed", "run", name, "--out", "x.npz"]):
            assert run_command(words) == 2, words
            said = capsys.readouterr()
            assert "hushhush" not in said.out + said.err
            assert words[0] == "embed" or f"error: {line}" in said.err, said.err
    assert run_command(["pretrain", "a", *SECRETS]) == 2  # as click says what was too much
    assert "hushhush" not in capsys.readouterr().err and not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"AWS_ACCESS_KEY_ID or ~/\.aws for s3://"):
        open_source("https://host/a.tar?token=hushhush")
    for name in ("hf://datasets/me/set@main/a.tar", "abfss://box@account.dfs.core.windows.net/a.tar", "a?b", "x@y:z"):
        assert redacted(name) == name
