"""Two steps of a method on the CPU and on the stand-in card; the second one's waits are counted.

In the first one tables that are kept for a device are made.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selftaught.methods import registry
from selftaught.reporting.preview import drawn
from selftaught.run.recipes import Pretrain
from selftaught.system.interruption import stopping
from selftaught.training.beginning import _everything
from selftaught.training.job import Job, prepare
from selftaught.training.resolve import open_data, resolve
from selftaught.training.starting import taught
from tests.data.series.writing import waves
from tests.data.text.writing import lines
from tests.gpu.card import Held, Waits, used, waits
from tests.gpu.machine import beside_a_card
from tests.methods.test_contract import OF_SERIES, OF_TEXTS, side, small
from tests.teachers import teacher_for
from tests.test_golden import data as written

STEPS, ROWS = 2, 8
# Kinds of data whose methods are their own: what the registry calls them, who writes some, and a small encoder.
OTHERS: dict[str, tuple[str, Callable[[Path], Any], Any]] = {
    "texts": ("text", lines, OF_TEXTS),
    "series": ("series", waves, OF_SERIES),
}
DELETING = "byol"  # of those that take texts as well one whose views are without some words
# Blurred as larger images are, and turned as those from above, so that everything that is done to a view is done.
CHANGED = {"blur": 0.5, "solarise": 0.2, "turn": 0.75, "flip_vertical": 0.2, "channel_jitter": 0.2}


@dataclass
class Tried:
    """What two steps came to."""

    losses: list[dict[str, float]]  # terms of each step
    views: Waits  # in making the views of the second
    step: Waits  # in the second itself
    operations: set[str] = field(default_factory=set)  # on the card, by name
    pictures: dict[str, Tensor] = field(default_factory=dict)  # what preview draws of two images after them


def fitting(name: str, kind: str) -> bool:
    """Whether a method is one for this kind of data."""
    cls = registry.method_class(name)
    if kind in OTHERS:
        return registry.kind_of(cls) == OTHERS[kind][0] or (kind == "texts" and name == DELETING)
    if registry.kind_of(cls) != "images":
        return False
    return kind == "images" or not (cls.needs_images or cls.needs_places or cls.needs_color)


def plan_of(name: str, kind: str, folder: Path, **more: Any) -> tuple[Any, Any]:
    """A plan for a small network, and its samples."""
    cls = registry.method_class(name)
    data = OTHERS[kind][1](folder) if kind in OTHERS else written(folder, kind, 0)
    own: dict[str, Any] = {"data": str(data), "batch_size": ROWS, "steps": STEPS}
    own |= {"method": {"name": name, "options": small(name)}, "precision": "32-true", "layout": "contiguous"}
    if kind == "images":
        own |= {
            "encoder": "test_vit" if cls.needs_tokens else "test_resnet",
            "size": 32 if cls.needs_teacher else side(name),
        }
        own |= {"views": dict.fromkeys(sorted({*cls.views} - {"plain", "index", "light"}), CHANGED)}
    if kind in OTHERS:
        own |= {"encoder": OTHERS[kind][2]}
    own |= teacher_for(name, folder / "teacher") | {"attention": "plain"}
    recipe = Pretrain.parse(own | more)
    with stopping(None) as stop:
        samples = open_data(recipe, stop)
    recipe = taught(recipe, samples)
    return resolve(recipe, samples), samples


def tried(job: Job) -> Tried:
    """Two steps of a job, wherever it lies."""
    if job.method.starts:
        job.method.start(_everything(job))
    found = Tried([], Waits(), Waits())
    for step in range(STEPS):
        with waits() as found.views:
            views = job.batches(step)
        with waits() as found.step, used() as operations:
            _step(job, step, views, found.losses)
        found.operations |= set(operations)
    if len(job.samples.preparation.shape) == 3:
        found.pictures = drawn(job, 2, 0)
    return found


class _Given:
    """Batches that are made already."""

    def __init__(self, views: tuple[Tensor, ...], device: torch.device) -> None:
        self.views, self.device = views, device

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        return self.views

    def of_run(self, steps: int, until: int) -> AbstractContextManager[None]:
        return nullcontext()


def _step(job: Job, step: int, views: tuple[Tensor, ...], losses: list[dict[str, float]]) -> None:
    seen: list[dict[str, Tensor]] = []
    given = replace(job, batches=_Given(views, job.batches.device))
    given.fit(steps=STEPS, start=step, until=step + 1, watch=lambda step, terms: seen.append(terms))
    losses.append({name: _value(term) for name, term in seen[0].items()})


def _value(term: Tensor) -> float:
    return (term.held if isinstance(term, Held) else term).item()


def on_the_cpu(plan: Any, samples: Any) -> Tried:
    """Two steps without a card."""
    return tried(prepare(plan, samples, None))


def on_the_card(plan: Any, samples: Any) -> Tried:
    """The same beside the stand-in."""
    with beside_a_card():
        return tried(prepare(plan, samples, None))


def ready() -> None:
    """As the tests are: sums come in the same order."""
    torch.set_num_threads(1)


def names(kind: str) -> list[str]:
    """Of all methods that are for this kind of data."""
    return [name for name in sorted(registry.places()) if fitting(name, kind)]
