"""The page of runs that go on: what is new comes by itself, nobody else is served, and bad moments leave a page."""

import base64
import fcntl
import hashlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from selftaught.commands.cli import run_command
from selftaught.commands.python import Run
from selftaught.reporting import run_page as report
from selftaught.reporting.server import Server
from selftaught.reporting.watch import SCRIPT, SETTLES, Watched, server_of
from selftaught.run.standing import TAIL, standing
from selftaught.system import clock
from selftaught.system import lock as writer
from selftaught.system.lock import LOCK, only_writer
from selftaught.system.ownership import begin
from tests.clocks import held
from tests.reporting.test_run_page import EVIL, Page, folder

EVERY = 0.02
HOLDER = """
import sys, pathlib
from selftaught.system.lock import only_writer
with only_writer(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Site:
    """What a browser would get from a server of these runs."""

    def __init__(self, server: Server) -> None:
        self.server, self.port = server, server.server_address[1]

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def page(self) -> Page:
        code, text, _ = self.ask()
        assert code == 200
        return Page(text)

    def version(self) -> dict[str, Any]:
        code, text, _ = self.ask("/version")
        assert code == 200
        return json.loads(text)

    def told(self) -> str:
        return " ".join(f"{run['state']}: {run['told']}" for run in self.version()["runs"])


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Servers for which time goes on whenever they look at the clock, so that no look at the files is an old one."""
    held(monkeypatch)
    monkeypatch.setattr(clock, "now", itertools.count(0, EVERY).__next__)
    servers: list[Server] = []

    def start(*folders: Path) -> Site:
        watched = Watched(folders, EVERY)
        servers.append(server_of(0, watched))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return Site(servers[-1])

    yield start
    for server in servers:
        server.shutdown()  # twice does no harm
        server.server_close()


@pytest.fixture
def going_on(tmp_path: Path) -> Iterator[Path]:
    """A run of 5,000 steps that this process is at work on, whose steps take half a second each."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(yaml.safe_dump({"data": "x", "method": {"name": "simclr"}, "steps": 5000}))
    Run(run).set_status("running")
    (run / LOCK).write_text(json.dumps(owner(os.getpid())))
    for step in (1, 600, 1200):
        log(run, step)
    with (run / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run


def owner(pid: int) -> dict[str, Any]:
    return {"host": writer.host(), "pid": pid, "birth": writer.birth(pid), "started": "2026-01-01T00:00:00+00:00"}


def log(run: Path, step: int, **more: Any) -> None:
    line = {"step": step, "loss": 1.0, "terms": {"a": 1.0}, "lr": 0.1, "samples_per_second": 9.0, "seconds": step / 2}
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(line | more) + "\n")


def test_the_page_says_where_a_run_stands_and_follows_it(going_on: Path, serve: Callable[..., Site]) -> None:
    site = serve(going_on)
    page = site.page()
    assert "running step 1,200 of 5,000, 31m 40s left, last seen 0s ago" in page.text
    shown = next(attributes for _, attributes in page.tags if attributes.get("id") == "live")["data-version"]
    before = site.version()
    assert shown == before["version"] == site.version()["version"] and not before["note"]
    log(going_on, 1201)
    after = site.version()
    assert after["version"] != shown and "step 1,201 of 5,000" in after["runs"][0]["told"]
    again = site.page()
    assert "step 1,201 of 5,000" in again.text
    assert next(a for _, a in again.tags if a.get("id") == "live")["data-version"] == after["version"]
    Run(going_on).set_status("done", "", 0, steps=5000, seconds=2500.4)
    (going_on / LOCK).unlink()
    assert site.told() == "done: 5,000 steps in 41m 40s"


def test_a_page_is_made_once_for_all_who_ask(
    going_on: Path, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    page_of = report.page_of
    monkeypatch.setattr(report, "page_of", lambda *told, **more: made.append(told) or page_of(*told, **more))
    site = serve(going_on)
    threads = [threading.Thread(target=site.page) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (going_on / "run.log").write_text("not on the page")
    (going_on / "report.html").write_text("neither")
    site.page()
    assert len(made) == 1
    log(going_on, 1300)
    site.page()
    assert len(made) == 2


def test_what_ended_and_what_was_killed_are_told_apart(
    going_on: Path, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(going_on)
    (going_on / LOCK).unlink()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(going_on)], stdin=pipe, stdout=pipe) as child:
        assert child.stdout and child.stdout.readline() and (going_on / LOCK).exists()
        assert site.told().startswith("running: step 1,200")
        child.kill()
    assert (going_on / LOCK).exists()
    lost = "abandoned: no process writes this run any more: it may have been killed; go on with --resume (step 1,200"
    assert site.told().startswith(lost)
    (going_on / LOCK).write_text(json.dumps(owner(os.getpid()) | {"birth": "0123"}))  # an earlier one of this number
    assert site.told().startswith(lost)
    (going_on / LOCK).unlink()
    assert site.told().startswith(lost) and "abandoned" in site.page().text
    for left in (json.dumps(owner(5) | {"host": "node17"}), "", "{}"):
        (going_on / LOCK).write_text(left)
        assert site.told().startswith(lost)  # the kernel knows of every lock on this file system
        with monkeypatch.context() as network:
            network.setattr(writer, "_file_system", lambda handle: "nfs4")  # where node17 cannot be seen from here
            assert site.told().startswith("running")
    (going_on / LOCK).unlink()
    Run(going_on).set_status("preempted", "stopped by SIGTERM at step 1,200; add --resume to go on", 75)
    assert site.told().startswith("preempted: stopped by SIGTERM at step 1,200; add --resume to go on; last seen 0s")
    with only_writer(going_on):
        assert "a process is at work on it again" in site.told() and not standing(going_on).ended
    Run(going_on).set_status("failed", "RuntimeError: oh", 1)
    assert site.told().startswith("failed: RuntimeError: oh") and standing(going_on).ended


def test_the_time_left_is_that_of_the_run_since_it_was_resumed(going_on: Path) -> None:
    with (going_on / "metrics.jsonl").open("a") as stream:
        stream.writelines(f'{{"step": {step}, "seconds": {step / 2}}}\n' for step in range(1201, 4999))
    assert (going_on / "metrics.jsonl").stat().st_size > TAIL  # of which only the end is read
    assert "step 4,998 of 5,000, 1s left" in standing(going_on).line
    Run(going_on).forget_metrics_after(1200)
    for step, seconds in ((1210, 1.0), (1300, 91.0)):
        log(going_on, step, seconds=seconds)
    assert "step 1,300 of 5,000, 1h 01m left" in standing(going_on).line
    log(going_on, 1301, seconds="x")
    log(going_on, 1302, seconds=10**400)
    assert "step 1,302 of 5,000, 1h 01m left" in standing(going_on).line
    (going_on / "recipe.yaml").write_text("steps: [1]")
    assert standing(going_on).line.startswith("step 1,302, last seen")
    (going_on / "metrics.jsonl").unlink()
    assert standing(going_on).line.startswith("no step logged yet, last seen")


def test_a_run_that_has_just_begun_shows_what_is_known(tmp_path: Path, serve: Callable[..., Site]) -> None:
    (run := tmp_path / "new").mkdir()
    with only_writer(run):
        site = serve(run)
        assert "starting nothing to show yet" in site.page().text
        (run / "recipe.yaml").write_text(yaml.safe_dump({"method": {"name": "mae"}, "steps": 7}))
        Run(run).set_status("running")
        page = site.page()
        assert "running no step logged yet" in page.text and "nothing logged yet" in page.text and "mae" in page.text
        log(run, 1)
        assert "step 1 of 7, last seen" in site.page().text


def test_a_bad_moment_leaves_the_last_page_and_a_note(going_on: Path, serve: Callable[..., Site]) -> None:
    site = serve(going_on)
    (going_on / "environment.json").write_text('{"machine": "the first"}')
    first = site.page()
    shown = site.version()["version"]
    for broken, content in {
        "status.json": '{"state": "runn',
        "environment.json": "[" * 100_000,
        "recipe.yaml": "{",
        "evaluation.json": "\0\0\0",
    }.items():
        file = going_on / broken
        kept = file.read_bytes() if file.exists() else None
        file.write_text(content)
        told = site.version()
        assert told["version"] == shown and f"cannot be read at the moment: run/{broken}" in told["note"]
        page = site.page()
        assert "this is the page as it was at" in page.text and "the first" in page.text
        assert "running step 1,200" in page.text and len(page.tags) == len(first.tags)
        file.unlink() if kept is None else file.write_bytes(kept)
        assert not site.version()["note"] and "cannot be read" not in site.page().text
        shown = site.version()["version"]
    (going_on / "status.json").write_text("{")
    old = clock.wall() - SETTLES - 1
    os.utime(going_on / "status.json", (old, old))  # it is not being written: the rest of the page goes on
    log(going_on, 1500)
    assert not site.version()["note"] and site.version()["version"] != shown
    site.page()
    moved = going_on.rename(going_on.with_name("away"))
    assert "which is no folder any more" in site.page().text and "the first" in site.page().text
    moved.rename(going_on)
    assert not site.version()["note"]


def test_files_no_page_can_be_made_of_leave_the_last_one(
    going_on: Path, serve: Callable[..., Site], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, page_of = (going_on / "recipe.yaml").read_text(), report.page_of

    def unlucky(folders: list[Path], *told: Any, **more: Any) -> str:
        if folders and (going_on / "recipe.yaml").read_text() != whole:
            raise ValueError("nothing can be made of it")
        return page_of(folders, *told, **more)

    monkeypatch.setattr(report, "page_of", unlucky)
    (going_on / "recipe.yaml").write_text("method: [1]\n")  # not what a run of ours writes
    site = serve(going_on)
    page = site.page()
    assert "running step 1,200" in page.text and "the page cannot be made of what the files hold now" in page.text
    (going_on / "recipe.yaml").write_text(whole)
    assert "learning rate" in site.page().text and not site.version()["note"]
    shown = site.version()["version"]
    (going_on / "recipe.yaml").write_text("method: 12\n")
    page = site.page()
    assert "learning rate" in page.text and "this is the page as it was at" in page.text
    assert site.version()["version"] == shown  # so that the script does not ask for it again and again
    assert capsys.readouterr().err.count("warning: the page cannot be made") == 2


def test_a_file_that_breaks_while_the_page_is_made_leaves_the_last_one(
    going_on: Path, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(going_on)
    site.page()
    whole, page_of = (going_on / "status.json").read_text(), report.page_of

    def late(*told: Any, **more: Any) -> str:
        (going_on / "status.json").write_text(whole[:9])
        return page_of(*told, **more)

    monkeypatch.setattr(report, "page_of", late)
    log(going_on, 1300)
    assert "(simclr, running)" in site.page().text and "cannot be read at the moment" in site.page().text
    monkeypatch.undo()
    (going_on / "status.json").write_text(whole)
    assert "cannot be read" not in site.page().text


def test_nobody_but_this_machine_is_served_and_nothing_but_the_page(going_on: Path, serve: Callable[..., Site]) -> None:
    site = serve(going_on)
    for host in ("localhost", "LOCALHOST:9000", "127.0.0.1", f"127.0.0.1:{site.port}"):
        assert site.ask(Host=host)[0] == site.ask("/version", Host=host)[0] == 200
    for host in ("evil.example", f"evil.example:{site.port}", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        code, text, _ = site.ask(Host=host)
        assert code == 403 and "run" not in text and site.ask("/version", Host=host)[0] == 403
    for path in ("/status.json", "/run/status.json", "/../status.json", "/.", "/?x", "/version/", "http://127.0.0.1/"):
        assert site.ask(path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "NONSENSE"):
        code, _, headers = site.ask(method=method)
        assert code == 405 and headers["Allow"] == "GET, HEAD"
    code, text, headers = site.ask(method="HEAD")
    assert (code, text) == (200, "") and int(headers["Content-Length"]) > 1000
    for request in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        assert raw(site, request).startswith(b"HTTP/1.0 403 ")
    assert raw(site, b"GET / HTTP/x\r\n\r\n") == b"Bad Request\n"
    assert b" 414 " in raw(site, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").splitlines()[0]
    raw(site, b"\0\xff\r\n\r\n")
    socket.create_connection(("127.0.0.1", site.port)).close()  # who leaves at once
    assert site.ask()[0] == 200


def raw(site: Site, request: bytes) -> bytes:
    found = b""
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(request)
        try:
            while more := connection.recv(65536):
                found += more
        except ConnectionResetError:  # what it did not read of an overlong line
            pass
    return found


def test_a_browser_is_told_to_run_and_load_nothing_else(tmp_path: Path, serve: Callable[..., Site]) -> None:
    evil = folder(tmp_path, name="<script>alert(1)<")
    (evil / "status.json").write_text(json.dumps({"state": EVIL, "reason": f"{EVIL}<!-- standing -->"}))
    site = serve(evil, folder(tmp_path, name="two"))
    for path in ("/", "/version", "/nowhere"):
        headers = site.ask(path)[2]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store" and "Python" not in headers["Server"]
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
    _, text, headers = site.ask()
    allowed = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    page = Page(text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert scripts == [str(SCRIPT)] and sum(tag == "script" for tag, _ in page.tags) == 1 and len(styles) == 1
    assert [allowed["script-src"], allowed["style-src-elem"]] == [hashed(scripts[0]), hashed(styles[0])]
    assert allowed["img-src"] == "data:" and allowed["connect-src"] == "'self'"
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert sum(tag == "img" for tag, _ in page.tags) == 2  # the pictures of the two runs
    assert f"<script>alert(1)<: {EVIL}" in page.text and "two: done" in page.text
    assert site.version()["runs"][0]["state"] == EVIL  # which the script puts in as text


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_a_written_report_does_not_follow_anything(going_on: Path, tmp_path: Path) -> None:
    written = report.write_report([going_on], tmp_path / "report.html").read_text()
    assert "<script" not in written and 'id="live"' not in written and "fetch" not in written
    assert "loads nothing from anywhere" in written


def test_a_look_counts_for_a_moment(going_on: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = held(monkeypatch)
    watched = Watched([going_on], 10.0)
    before = watched.version()["version"]
    log(going_on, 1201)
    time.advance(4.9)  # however many ask, the files are looked at twice in ten seconds
    assert watched.version()["version"] == before
    time.advance(0.1)
    assert watched.version()["version"] != before


def test_watching_ends_when_a_folder_is_gone(
    going_on: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time, seen = held(monkeypatch), []

    def look_on(address: str) -> None:
        try:
            seen.append(state(address))
            going_on.rename(going_on.with_name("away"))
            time.advance(10)
            seen.append(state(address))
        finally:
            time.advance(100)

    monkeypatch.setattr(webbrowser, "open", look_on)
    assert run_command(["watch", str(going_on), "--port", "0", "--every", "10s", "--until-done", "--open"]) == 0
    told = capsys.readouterr().err
    assert seen == ["running", "gone"] and told.count("warning: run: its folder was moved or removed") == 1
    assert "\nrun: gone, its folder was moved or removed" in told


def test_watching_ends_when_all_runs_have_and_who_looks_on_has_seen_it(
    going_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other, seen = folder(tmp_path, "other"), []
    command = ["watch", str(going_on), str(other), "--port", "0", "--every", "10s", "--until-done", "--json", "--open"]
    time = held(monkeypatch)

    def look_on(address: str) -> None:
        try:
            seen.append(state(address))
            Run(going_on).set_status("failed", "RuntimeError: oh", 1)
            (going_on / LOCK).unlink()
            time.advance(10)
            seen.append(state(address))
        finally:
            time.advance(100)

    monkeypatch.setattr(webbrowser, "open", look_on)
    assert run_command(command) == 0 and seen == ["running", "failed"]
    told = capsys.readouterr()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", json.loads(told.out)["url"])
    assert "run: failed, RuntimeError: oh" in told.err and "other: done" in told.err


def state(address: str) -> str:
    """That of the first run that is watched there."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"))
    connection.request("GET", "/version")
    return json.loads(connection.getresponse().read())["runs"][0]["state"]


def test_a_mistake_is_told_in_a_line(going_on: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_command(["watch", str(going_on), "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"--port {port} is taken; choose another, or --port 0" in told
    (compared := tmp_path / "compared").mkdir()
    begin(compared, "comparison", ["comparison.yaml"])
    for wrong, said in {
        (str(compared),): "compared is a comparison, not a run: its page is comparison.html in it, and its runs lie in",
        (str(going_on / "recipe.yaml"),): "recipe.yaml is a file, not a run folder",
        ("nowhere",): "nowhere is not a run folder: it does not exist",
        (str(tmp_path),): "is not a run folder",
        (): "RUN... is missing: selftaught watch [OPTIONS] RUN...",
        (str(going_on), "--port", "70000"): "--port cannot be '70000'",
        (str(going_on), "--every", "soon"): "--every cannot be 'soon': a duration looks like",
        (str(going_on), "--every", "0"): "--every cannot be 0.0: input should be greater than",
    }.items():
        assert run_command(["watch", *wrong]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and said in told


@pytest.mark.parametrize(
    ("number", "flags", "code"),
    [(signal.SIGINT, [], 0), (signal.SIGTERM, [], 0), (signal.SIGTERM, ["--until-done"], 75)],
)
def test_a_signal_ends_it(number: signal.Signals, flags: list[str], code: int, going_on: Path) -> None:
    before = sorted(path.name for path in going_on.iterdir())
    command = [sys.executable, "-m", "selftaught", "watch", str(going_on), "--port", "0", "--json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        told = process.stdout.readline() + process.stdout.readline() + process.stdout.readline()
        address = json.loads(told)["url"]
        assert address in process.stderr.readline()
        assert state(address) == "running"
        idle = socket.create_connection(
            ("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        )  # who asks for nothing keeps nobody
        process.send_signal(number)
        assert process.wait() == code
        idle.close()
        said = process.stderr.read()
    assert said == ("error: stopped by SIGTERM before every run was done or had failed\n" if code else "")
    assert sorted(path.name for path in going_on.iterdir()) == before


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["watch", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "RUN..." in told and "Ctrl-C ends it, with exit code 0" in told and "75" in told
