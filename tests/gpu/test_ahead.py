"""A batch that is made ahead is the same batch, and safe to use on another stream."""

from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from threading import Event, get_ident

import pytest
import torch
from torch import Tensor

from selftaught.system.context import holding
from selftaught.system.errors import OutOfMemory
from selftaught.training.ahead import Ahead
from selftaught.training.job import prepare
from tests.gpu import trying
from tests.gpu.card import CARD, Held
from tests.gpu.machine import Stream, beside_a_card
from tests.jobs import plan_of


@pytest.fixture
def current() -> Iterator[Stream]:
    with beside_a_card() as stream:
        yield stream


def numbers(step: int) -> tuple[Tensor, ...]:
    return (torch.full((2,), step, device=CARD), torch.full((2,), step + 10, device=CARD))


def test_the_next_batch_is_made_by_another_thread_while_this_one_is_used(current: Stream) -> None:
    begun, threads = [Event() for _ in range(3)], []

    def make(step: int) -> tuple[Tensor, ...]:
        threads.append(get_ident())
        begun[step].set()
        return numbers(step)

    with Ahead(make, CARD, until=3) as ahead:
        for step in range(3):
            views = ahead(step)
            assert [view.held.tolist() for view in views] == [[step] * 2, [step + 10] * 2]
            assert step == 2 or begun[step + 1].wait()
    assert get_ident() not in threads and len(threads) == 3  # none of the step `until`


def test_the_stream_that_uses_it_waits_for_the_other_and_keeps_its_memory(current: Stream) -> None:
    with Ahead(numbers, CARD, until=2) as ahead:
        views = ahead(0)
        assert current.waited == [ahead._stream]
        assert [id(view) for view in current.held] == [id(view) for view in views]


def test_it_is_made_on_a_stream_of_its_own_in_the_context_of_who_asks(current: Stream) -> None:
    told: ContextVar[str] = ContextVar("told")
    seen = []

    def make(step: int) -> tuple[Tensor, ...]:
        seen.append((told.get(), torch.cuda.current_stream()))
        return numbers(step)

    with holding(told, "something"), Ahead(make, CARD, until=1) as ahead:
        ahead(0)
        assert seen == [("something", ahead._stream)]
    assert ahead._stream is not current


def test_a_run_learns_the_same_from_batches_made_ahead(tmp_path: Path) -> None:
    plan, samples = plan_of("exemplar", "images", tmp_path)
    losses: dict[str, list[float]] = {"cpu": [], "card": []}

    def train(where: str) -> None:
        job = prepare(plan, samples, None)
        job.fit(steps=2, watch=lambda step, terms: losses[where].extend(map(trying._value, terms.values())))

    train("cpu")
    with beside_a_card() as stream:
        train("card")
    assert losses["card"] == losses["cpu"]
    assert len(stream.waited) == 2 and all(isinstance(view, Held) for view in stream.held)


def test_too_little_memory_for_views_is_told_as_that_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, samples = plan_of("rotation", "images", tmp_path)
    with beside_a_card():
        job = prepare(plan, samples, None)

        def views(*raw: Tensor) -> tuple[Tensor, ...]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

        monkeypatch.setattr(job.batches, "views", views)
        with pytest.raises(OutOfMemory, match=r"^out of memory: CUDA out of memory\. Tried to allocate 2\.00 GiB$"):
            job.fit(steps=2)
