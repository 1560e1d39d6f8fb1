"""Which samples a step sees: of those to learn from each at most once an epoch, with its target beside its views."""

import numpy as np
import torch

from selftaught.data.images.samples import open_samples
from selftaught.system import randomness
from selftaught.training.batches import Batches


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
