"""The report of runs that go on, served to a browser on this machine alone, and made anew when their files change."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from markupsafe import Markup

from selftaught.reporting.page import Live
from selftaught.reporting.server import Answer, Server, page_policy, told
from selftaught.run.folder import RunFolder
from selftaught.run.layout import HARMLESS, PAGE
from selftaught.run.recipes import Watch
from selftaught.run.standing import GONE, Standing, standing
from selftaught.system import clock
from selftaught.system.errors import Interrupted
from selftaught.system.interruption import stopping
from selftaught.system.lock import LOCK
from selftaught.system.reading import json_object, yaml_in
from selftaught.system.saying import say
from selftaught.system.text import printable

TEMPLATES = Path(__file__).parent / "templates"
BESIDE = (PAGE, *HARMLESS)  # files of a run that its page does not show
SETTLES = 30.0  # seconds after which a file that cannot be read is taken for damaged, not for half-written
LOOKS = 2  # at the files, at most, from one question of a page to its next, however many ask
SCRIPT = Markup("".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("live.js", "map.js")))
HERE = Markup("<!-- standing -->")  # where the lines of the moment go; no name can hold it, as names are escaped


@dataclass(frozen=True)
class Look:
    """A glance at the folders: which version of the files it is, and where the runs stand."""

    version: str
    standings: list[Standing]
    broken: str  # what cannot be read just now
    at: float


class Watched:
    """The page about some runs. What cannot be read in a moment leaves the last page that could be made, and a note."""

    def __init__(self, folders: Sequence[Path], every: float) -> None:
        self.folders, self.every = folders, every
        self.asked = -float("inf")  # when somebody last did
        self._looking, self._making = threading.Lock(), threading.Lock()
        self._standings = {folder: Standing(printable(folder.name), "unknown", "", held=True) for folder in folders}
        self._last: Look | None = None
        self._page, self._made, self._made_at = "", "", ""  # the page, of which version, and when
        self._failed, self._trouble = "", ""  # the version of which none could be made, and why

    def look(self) -> Look:
        """How things stand, or did a moment ago."""
        with self._looking:
            at = clock.now()
            if not self._last or at - self._last.at >= self.every / LOOKS:
                broken = []
                digest = sha256()
                for folder in self.folders:
                    with suppress(OSError, ValueError):  # said by `_broken`; where it stood before is the best guess
                        before, now = self._standings[folder].state, standing(folder)
                        self._standings[folder] = now
                        if now.state == GONE != before:
                            say(f"warning: {now.name}: {now.line}")
                    broken += _broken(folder)
                    digest.update(_stamp(folder).encode())
                standings = list(self._standings.values())
                self._last = Look(digest.hexdigest()[:16], standings, ", ".join(broken), at)
            return self._last

    def page(self) -> Answer:
        """The page as it is now, or as it last could be made."""
        self.asked = clock.now()
        with self._making:
            look = self.look()
            if look.version != self._made and not (look.broken and self._made):
                self._make(look)
            lines = _lines(look.standings, self._note(look))
            return Answer(200, "text/html", self._page.replace(HERE, lines, 1), page_policy(self._page, SCRIPT))

    def version(self) -> dict[str, object]:
        """What the page's script asks for: the version it can have, where the runs stand, and a note."""
        self.asked = clock.now()
        look = self.look()
        shown = self._made if self._made and (look.broken or look.version == self._failed) else look.version
        runs = [{"state": one.state, "told": one.line} for one in look.standings]
        return {"version": shown, "runs": runs, "note": self._note(look)}

    def ended(self) -> bool:
        """Whether every run is done or has failed."""
        return all(one.ended for one in self.look().standings)

    def _make(self, look: Look) -> None:
        from selftaught.reporting.run_page import page_of

        live = Live(look.version, self.every, HERE, SCRIPT)
        try:
            page = page_of(self.folders, live=live)
            if self._made and any(_broken(folder) for folder in self.folders):
                return  # it became so while the page was made
            self._page, self._made, self._failed, self._trouble = page, look.version, "", ""
            self._made_at = time.strftime("%H:%M:%S")
        except Exception as error:  # whatever the files hold, they are no reason to show nothing
            reason = printable(f"{type(error).__name__}: {error}")
            if reason != self._trouble:
                say(f"warning: the page cannot be made: {reason}")
            self._failed, self._trouble = look.version, reason
            self._page = self._page or page_of([], "selftaught watch", live)

    def _note(self, look: Look) -> str:
        trouble = f"cannot be read at the moment: {look.broken}" if look.broken else ""
        if not trouble and look.version == self._failed:
            trouble = f"the page cannot be made of what the files hold now ({self._trouble})"
        if trouble and self._made and self._made != look.version:
            trouble += f"; this is the page as it was at {self._made_at}"
        return trouble


def watch(recipe: Watch, listening: Callable[[str], None]) -> None:
    """Serve the page until a signal or, if so asked, until every run has ended; `listening` is told its address."""
    watched = Watched([_folder(run) for run in recipe.runs], recipe.every)
    with stopping() as stop, server_of(recipe.port, watched) as server:
        listening(server.address)
        if recipe.open:
            server.show()
        until: float | None = None
        while not stop.reason and (until is None or clock.now() < until):
            server.handle_request()
            if recipe.until_done and until is None and watched.ended():
                now, pause = clock.now(), 2 * recipe.every  # whoever looks on gets the end of it, too
                until = now + pause if now - watched.asked < pause else now
        for one in watched.look().standings if until else []:
            say(f"{one.name}: {one.state}" + (f", {one.line}" if one.line else ""))
        if recipe.until_done and until is None:
            raise Interrupted(f"stopped by {stop.reason} before every run was done or had failed")


def _folder(run: str) -> Path:
    """The folder of a run; one that a process has just claimed, and written nothing in, is taken as well."""
    folder = Path(run).absolute()
    with suppress(OSError):
        if {LOCK} <= {path.name for path in folder.iterdir()} <= {*HARMLESS}:
            return folder
    return RunFolder.open(run).folder.absolute()


def server_of(port: int, watched: Watched) -> Server:
    """What serves the page."""
    return Server.listening(port, {"/": watched.page, "/version": lambda: told(watched.version())})


def _stamp(folder: Path) -> str:
    """What changes whenever a file changes that the page shows."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if entry.name not in BESIDE and not entry.name.startswith(".")]
        stamps = []
        for entry in shown:
            with suppress(FileNotFoundError):  # it vanished in this moment
                stat = entry.stat()
                stamps.append((entry.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return repr(sorted(stamps))
    except OSError as error:
        return type(error).__name__


def _broken(folder: Path) -> list[str]:
    """Files of the run that are there but cannot be read, and have not been so for long."""
    name, broken = printable(folder.name), []
    if not folder.is_dir():
        return [f"{name}, which is no folder any more"]
    for file in (*folder.glob("*.json"), folder / "recipe.yaml"):
        try:
            young = clock.wall() - file.stat().st_mtime < SETTLES
            yaml_in(file) if file.suffix == ".yaml" else json_object(file)
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            broken += [f"{name}/{printable(file.name)}"] if young else []
    return broken


def _lines(standings: Sequence[Standing], note: str) -> Markup:
    """Where each run stands, in a line; only its state is read aloud when it changes."""
    line = Markup('<p class="run">{}<strong role="status">{}</strong> <span>{}</span></p>')
    named = len(standings) > 1
    lines = [line.format(f"{one.name}: " if named else "", one.state, one.line) for one in standings]
    return Markup("").join([*lines, Markup('<p id="note" role="status">{}</p>').format(note)])
