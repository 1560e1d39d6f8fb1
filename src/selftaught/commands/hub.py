"""Giving a run to the Hub: a folder with all that would be sent, and, where that is asked for, the sending."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selftaught.reporting.model_card import model_card
from selftaught.run.export import part_of_run, write_packed
from selftaught.run.folder import RunFolder
from selftaught.run.layout import BESIDE, FOLDERS, MODEL, is_classifier
from selftaught.run.quantities import HUB
from selftaught.run.recipes import Export
from selftaught.system.errors import SelftaughtError, Unreachable, UsageError
from selftaught.system.ownership import begin_alone, refuse_odd
from selftaught.system.reading import LARGEST_OBJECT
from selftaught.system.regular import regular_bytes
from selftaught.system.text import printable

CARD = MODEL[2]
NO_TOKEN = "there is no token for the Hub: set HF_TOKEN, or log in with `hf auth login`"
REFUSED = (401, 403)  # who asks is not known, or may not
LATER = (408, 425, 429)  # it may be otherwise in a while


@dataclass(frozen=True)
class Sent:
    """What lies in `folder` and goes, or went, to a repository: names of files with their sizes in bytes."""

    repo: str
    folder: str
    files: dict[str, int]
    uploaded: bool
    url: str | None = None

    @property
    def json(self) -> dict[str, Any]:
        """What `--json` says."""
        return asdict(self)


def publish(recipe: Export) -> Sent:
    """Write what the Hub is to have of a run, and send it where --upload says so. Raises UsageError, Unreachable."""
    if recipe.license is None:
        raise UsageError(
            "--to hub: needs --license, which is yours to choose: apache-2.0, cc-by-nc-4.0, other or what else the Hub "
            "knows"
        )
    run = RunFolder.open(recipe.run)
    repo = recipe.to.removeprefix(HUB)
    token = _token() if recipe.upload else None  # asked for before anything is made
    card = model_card(run, repo, recipe.license)
    folder = _folder(run, recipe.out)
    files = {**_weights(run.folder), CARD: card.encode()}
    write_packed(folder, files)
    sizes = {name: len(content) for name, content in files.items()}
    url = _upload(repo, folder, sorted(files), token) if token else None
    return Sent(repo, str(folder), sizes, url is not None, url)


def _weights(folder: Path) -> dict[str, bytes]:
    """The files of the classifier or the encoder, as they are."""
    part = part_of_run(folder, "classifier" if is_classifier(folder) else "encoder")
    names = [name for name in (*MODEL, *BESIDE) if (part / name).exists() and name != CARD]
    largest = max(LARGEST_OBJECT, *((part / name).stat().st_size for name in names))
    return {name: regular_bytes(part / name, largest) for name in names}


def _folder(run: RunFolder, out: str | None) -> Path:
    """Where it is written: into the run folder, or a folder that is empty or was made for this."""
    if out is None:
        run.own("hub")
        refuse_odd(run.folder, {"hub": FOLDERS["hub"]})
        return run.folder / "hub"
    folder = Path(out)
    begin_alone(folder, "hub")
    return folder


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise UsageError(NO_TOKEN)
    return token


def _upload(repo: str, folder: Path, names: list[str], token: str) -> str:
    """Send files as one commit; where the repository is on the Hub. A new one is private."""
    from huggingface_hub import CommitOperationAdd, HfApi

    # The endpoint is asked for now, as the library reads it when it is imported.
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    added = [CommitOperationAdd(name, folder / name) for name in names]
    try:
        url = api.create_repo(repo, private=True, exist_ok=True)
        api.create_commit(repo, added, commit_message="Add a model made by selftaught")
    except Exception as error:  # of the library's own, of its connections, and of threads that wrap either
        raise _undone(repo, folder, error, token) from None
    return str(url)


def _undone(repo: str, folder: Path, error: BaseException, token: str) -> SelftaughtError:
    """What to say of a sending that failed: a token that may not is for the user to change, all else may pass."""
    status, told = _answer(error)
    why = printable(" ".join(told.replace(token, "...").split()))
    if status in REFUSED:
        return UsageError(
            f"the Hub refuses the token for {repo} ({status}): it has to be one that may write there; set HF_TOKEN, or "
            "log in with `hf auth login`"
        )
    if status is not None and 400 <= status < 500 and status not in LATER:
        return UsageError(f"the Hub does not take {repo} ({status}): {why}")
    return Unreachable(f"{repo} was not sent: {why}; it lies in {printable(folder)}, and the same command sends it")


def _answer(error: BaseException) -> tuple[int | None, str]:
    """The status that the Hub has answered with, where it has, and what there is to say of it."""
    from huggingface_hub.errors import HfHubHTTPError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError) and cause.response is not None:
            return cause.response.status_code, cause.server_message or str(cause)
        cause = cause.__cause__
    return None, f"{type(error).__name__}: {error}"
