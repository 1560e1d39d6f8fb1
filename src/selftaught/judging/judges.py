"""The labelled samples that judge the runs of a comparison; one that goes on judges by those it began with.

What is done is not judged again, and what stands beside is taken from runs before: by other samples, labels or groups
these would stand in one table with what they cannot be compared with.
"""

import itertools
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from selftaught.contracts.samples import Preparation
from selftaught.judging.bench import Bench
from selftaught.judging.evaluate import open_judged
from selftaught.judging.labelled import Labelled, splits
from selftaught.judging.subsets import Rows, parse_labels
from selftaught.run.recipes import Compare
from selftaught.system.errors import UsageError
from selftaught.system.saying import quietly, say

# By which fields parts are named, where not by that of the data themselves.
NAMED_BY = {
    "train_labels": ("train_labels",),
    "train_groups": ("groups",),
    "test_labels": ("test_labels",),
    "test_groups": ("test_groups", "groups"),
}


def judges(bench: Bench, preparation: Preparation) -> Labelled:
    """The labelled samples, after all that runs are judged on was drawn: no mistake should wait for the first run."""
    data = open_judged(bench.judging("", seed=0, test=True), preparation)
    _draw(bench.recipe, data)
    if bench.recipe.test and bench.recipe.beyond_test:
        _draw(bench.recipe, data.beyond_test())
    elif bench.recipe.test:
        if also := data.train.count - len(data.not_tested):
            say(f"note: {also:,} of --train that --test has as well help to choose here, as when this was begun")
        with quietly():  # all that is to be told of them has been
            _draw(bench.recipe, open_judged(bench.judging("", seed=0, test=False), preparation))
    return data


def _draw(recipe: Compare, data: Labelled) -> None:
    """Raise DataError where there are no such labels, or no folds."""
    for count, seed in itertools.product(parse_labels(recipe.labels), range(recipe.seeds)):
        list(splits(data, count, 1, seed))


def judged_alike(recipe: Compare, data: Labelled) -> Compare:
    """The recipe with digests of what judges. Raises UsageError where a comparison goes on that had others.

    One of before there were digests goes on by what is there, and has them from then on.
    """
    now = dict(_digests(data))
    if other := next((part for part in now if recipe.judged_by.get(part, now[part]) != now[part]), None):
        side, what = other.split("_")
        named = next(name for name in (*NAMED_BY.get(other, ()), side) if getattr(recipe, name))
        told = f"--{named.replace('_', '-')} has other {what} than when this comparison began, of which runs are judged"
        raise UsageError(f"cannot resume: {told}; give it as it was, or start anew in another --out")
    return recipe.model_copy(update={"judged_by": now})


def _digests(data: Labelled) -> Iterator[tuple[str, str]]:
    """Of the samples to learn from, their labels and groups, and of those of a test set."""
    names, end = "\0".join(data.names).encode("utf-8", "surrogateescape"), 0
    for side, samples in zip(("train", "test"), data.sources):
        start, end = end, end + samples.count
        yield f"{side}_samples", samples.fingerprint
        yield f"{side}_labels", _digest(names + data.truth[start:end].tobytes())
        # Those of a test set with those before them, of which they may be.
        yield f"{side}_groups", _digest(b"" if data.named is None else _numbered(data.named[:end]).tobytes())


def _digest(held: bytes) -> str:
    return blake2b(held, digest_size=16).hexdigest()


def _numbered(groups: Rows) -> Rows:
    """Groups (N,) by numbers in the order in which they first come."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)
