"""One run of a comparison, by a process of its own; `judging.crew` starts `python -m selftaught.commands.one_run`."""

import os
import signal
import sys
from pathlib import Path
from threading import Thread

from selftaught.commands.cli import advised, exit_code
from selftaught.judging.bench import Bench, Order
from selftaught.judging.crew import ORDER, RAN
from selftaught.judging.entrants import entrants
from selftaught.system.files import write_json
from selftaught.system.interruption import stopping
from selftaught.system.reading import json_in


def one_run(folder: Path) -> None:
    """Carry out the order in a folder, and leave there what came of it."""
    order = Order.model_validate(json_in(folder / ORDER))
    with advised(order.recipe), stopping() as stop:
        ran = Bench(order.recipe, entrants(order.recipe), stop).ran(order)
    write_json(folder / RAN, ran.model_dump(mode="json"))


def end_with_parent() -> None:
    """Stop, with all saved, once nobody is left who would take what comes of the run."""

    def listen() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    sys.exit(exit_code(lambda: one_run(Path(sys.argv[1]))))
