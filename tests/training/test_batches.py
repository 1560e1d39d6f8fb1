"""Which samples a step sees: of those to learn from each at most once an epoch, with its target beside its views."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from selftaught.data.images.samples import open_samples
from selftaught.system import randomness
from selftaught.training.batches import Batches
from selftaught.training.beginning import _everything


def test_rows_of_a_subset_come_once_an_epoch_with_their_targets_and_the_views_of_their_step() -> None:
    samples = open_samples("sklearn:digits", limit=40)
    views = samples.views(("light", "index"))
    rows, targets = np.arange(39, -1, -3), torch.arange(40) * 10
    batches = Batches(samples, views, batch_size=4, seed=3, rows=rows, targets=targets)
    assert batches.steps_per_epoch == 3
    for step in (0, 4):  # of the first and of the second epoch
        order = randomness.permutation(3, step // 3, len(rows))
        chosen = rows[order[step % 3 * 4 : step % 3 * 4 + 4]]
        with randomness.at(3, step, slice(0, 4)):
            expected = views(torch.from_numpy(chosen), *samples.batch(chosen))
        with randomness.at(8, 8, slice(0, 8)):  # wherever the caller is
            light, index, target = batches(step)
        assert torch.equal(light, expected[0]) and index.tolist() == chosen.tolist()
        assert target.tolist() == [10 * row for row in chosen]
    seen = [row for step in range(3) for row in batches.rows(step)]
    assert len(set(seen)) == 12 and set(seen) <= set(rows)
    assert len(set(Batches(samples, views, batch_size=4, seed=3).rows(0)) - set(rows)) > 0  # all, where none are said


def test_the_first_of_a_batch_are_looked_at_as_they_are_in_it_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = open_samples("sklearn:digits", limit=40)
    batches = Batches(samples, samples.views(("strong", "index")), batch_size=16, seed=3)
    whole = batches(2)
    read, own = list[int](), samples.batch
    monkeypatch.setattr(samples, "batch", lambda rows: read.append(len(rows)) or own(rows))
    monkeypatch.setattr(samples, "prefetch", lambda rows: read.append(-len(rows)))
    assert all(torch.equal(one, other[:5]) for one, other in zip(batches.first(2, 5), whole, strict=True))
    assert read == [5]


@pytest.mark.parametrize("count", [100, 16_777_220, 99_999_999])
def test_what_is_looked_at_before_the_first_step_lies_within_the_data(count: int) -> None:
    seen = list[Any]()
    samples = SimpleNamespace(
        count=count, views=lambda names: lambda rows, x: (x,), batch=lambda rows: seen.append(rows) or (torch.zeros(1),)
    )
    _everything(SimpleNamespace(samples=samples, method=torch.nn.Identity()))  # type: ignore[arg-type]
    assert seen[0][0] == 0 and seen[0][-1] == count - 1
