"""In place of a run of a comparison: a process that does what the name of its method says, and needs no torch."""

import json
import os
import signal
import sys
from pathlib import Path


def stopped(*_: object) -> None:
    """As a run that has saved what it had."""
    print("error: stopped by SIGTERM at step 3; add --resume to go on", file=sys.stderr, flush=True)
    os._exit(75)


def main(folder: Path) -> None:
    about = json.loads((folder / "order.json").read_text())["about"]
    if about["method"] == "dies":
        print("a line\nwarning: the memory is nearly full", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if about["method"] == "is stopped":
        stopped()
    if about["method"] == "goes on":
        signal.signal(signal.SIGTERM, stopped)
        Path(os.environ["BEGUN"]).touch()
        signal.pause()
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    (folder / "ran.json").write_text(json.dumps({**about, "state": "done", "verdict": card}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
