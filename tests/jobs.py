"""A small job of any method on any kind of data that it can be asked of, with real samples and views of them."""

from pathlib import Path
from typing import Any

import pytest

from selftaught.contracts.samples import Samples
from selftaught.methods import registry
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from selftaught.system.interruption import stopping
from selftaught.training.resolve import open_data, resolve
from selftaught.training.starting import taught
from tests.methods.making import KINDS, network, side, small
from tests.teachers import teacher_for

ROWS = 8
# Blurred as larger images are, and turned as those from above, so that everything that is done to a view is done.
CHANGED = {"blur": 0.5, "solarise": 0.2, "turn": 0.75, "flip_vertical": 0.2, "channel_jitter": 0.2}


def plan_of(name: str, kind: str, folder: Path, **more: Any) -> tuple[Plan, Samples]:
    """A plan for a small network, and its samples, which are written below a folder."""
    cls = registry.method_class(name)
    if kind == "audio":
        pytest.importorskip("soundfile")
    own: dict[str, Any] = {"data": str(KINDS[kind].written(folder)), "batch_size": ROWS, "steps": 2}
    own |= {"method": {"name": name, "options": small(name)}, "precision": "32-true", "layout": "contiguous"}
    own |= {"encoder": network(name, kind), "attention": "plain"}
    if kind in ("images", "audio"):
        own |= {"size": 32 if cls.needs_teacher else side(name)}
    if kind == "images":
        own |= {"views": dict.fromkeys(sorted({*cls.views} - {"plain", "index", "light"}), CHANGED)}
    own |= teacher_for(name, folder / "teacher")
    recipe = Pretrain.parse(own | more)
    with stopping(None) as stop:
        samples = open_data(recipe, stop)
    recipe = taught(recipe, samples)
    return resolve(recipe, samples), samples
