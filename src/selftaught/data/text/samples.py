"""Texts held in memory, as the numbers of their words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import BEGIN, PADDING
from selftaught.data.opening import Chosen, Opened, Rows, chosen, refuse_broken
from selftaught.data.sources.labels import NO_LABEL
from selftaught.data.text import tokenizer
from selftaught.data.text.files import open_texts
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.texts import THINGS, Texts
from selftaught.data.text.views import Views
from selftaught.system.errors import UsageError

REMEDY = "say which column with --label-column, name a CSV of path,label, or put texts into a folder for each class"
TOLERANCE = 0.01  # the share of texts that may be broken, where the user names none


class Written(Opened):
    """Texts by number: stretches of `words`, and the texts themselves."""

    words: NDArray[np.int32]  # of all, one text behind the other
    starts: Rows
    lengths: Rows
    texts: list[str]

    def keep(self, rows: Rows) -> None:
        self.starts, self.lengths = self.starts[rows], self.lengths[rows]
        self.texts = [self.texts[row] for row in rows.tolist()]

    def batch(self, rows: Rows) -> tuple[Tensor, ...]:
        """Words (B, 1, length) as int64: where the text begins, its words, and nothing behind its end."""
        made = np.full((len(rows), self.preparation.length), PADDING, np.int64)
        made[:, 0] = BEGIN
        at = np.arange(self.preparation.length - 1)
        inside = at < self.lengths[rows, None]
        made[:, 1:][inside] = self.words[(self.starts[rows, None] + at)[inside]]
        return (torch.from_numpy(made)[:, None],)

    def views(self, names: Sequence[str], *, options: Any = None, **how: Any) -> Views:
        """What makes these views of texts; what of `how` concerns images is of no concern here."""
        return Views(names, self.preparation, options)


def open_samples(
    data: str | Path,
    *,
    like: Preparation | None = None,
    labels: Path | None = None,
    label_column: str | None = None,
    labelled: bool = False,
    limit: int | None = None,
    seed: int = 0,
    column: str | None = None,
    tokenizer: str | None = None,
    vocabulary: int | None = None,
    context: int | None = None,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **others: Any,
) -> Written:
    """Read the texts of `data`.

    like: the preparation of an existing encoder, used unchanged; tokenizer: a file that makes words of texts, in place
    of one that is learnt from those that are wanted, with a `vocabulary` of so many words; context: words of a text
    that are seen; the rest: see `chosen` and `open_texts`. Raises DataError, BrokenData where more than `tolerance` of
    the texts cannot be used, and UsageError.
    """
    if tokenizer and vocabulary:
        raise UsageError("--vocabulary is for a tokenizer that is learnt, and --tokenizer names one")
    known = (like.column, like.label) if like else ()
    source = open_texts(data, label_column if labels is None else None, column, *known)
    refuse_broken(source.name, THINGS, len(source), source.broken, tolerance)
    how: dict[str, Any] = {"labels": labels, "label_column": label_column, "labelled": labelled}
    wanted = chosen(source, THINGS, REMEDY, limit=limit, seed=seed, named=data, **how)
    texts = [source.texts[row] for row in np.asarray(wanted.rows).tolist()]
    held = like.tokenizer if like else _tokenizer(texts, tokenizer, vocabulary)
    numbers = _numbers(held, texts, progress)
    longest = max(map(len, numbers))
    label = None if label_column == NO_LABEL else label_column
    preparation = like or Preparation.of(held, longest, context, source.column, label)
    return _held(source, wanted, preparation, texts, numbers)


def _tokenizer(texts: Sequence[str], named: str | None, vocabulary: int | None) -> str:
    if named:
        return tokenizer.read(named)
    return tokenizer.learnt(texts, vocabulary or tokenizer.usual_vocabulary(texts))


def _numbers(held: str, texts: Sequence[str], progress: Callable[[int, int], None]) -> list[NDArray[np.int32]]:
    made = []
    for done, one in enumerate(tokenizer.tokenizer(held).encoded(texts), 1):
        made.append(np.array(one, np.int32))
        if not done % tokenizer.AT_ONCE or done == len(texts):
            progress(done, len(texts))
    return made


def _held(
    source: Texts, wanted: Chosen, preparation: Preparation, texts: list[str], numbers: Sequence[NDArray[np.int32]]
) -> Written:
    most = preparation.length - 1
    if longer := sum(len(one) > most for one in numbers):
        source.note(f"{longer:,} of {len(numbers):,} texts are longer than {most:,} words: what is behind is cut off")
    samples = Written(wanted, preparation, quarantined=source.broken)
    samples.texts = texts
    samples.lengths = np.array([min(len(one), most) for one in numbers], np.int64)
    samples.starts = np.cumsum(samples.lengths) - samples.lengths
    samples.words = np.concatenate([one[:most] for one in numbers])
    return samples
