"""Everything that can be known of texts before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts.findings import Findings, Spread, TextFacts
from selftaught.data.facts import classes, files_of, notes_of_copies, notes_of_labels, same_content, too_many
from selftaught.data.sources.metadata import facts_of
from selftaught.data.text.files import open_texts
from selftaught.data.text.texts import THINGS, Texts
from selftaught.system.text import printable, spelled

FEWEST = 2  # texts that can be told apart


def inspect(
    data: str | Path,
    *,
    label_column: str | None = None,
    column: str | None = None,
    tolerance: float = 0.01,
    metadata: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> Findings:
    """Read the texts of `data`, all of them. Raises DataError and UsageError."""
    texts = open_texts(data, label_column, column)
    count = len(texts) + len(texts.broken)
    same = same_content(map(bytes, texts.digests(np.arange(len(texts)))))
    progress(count, count)
    known = facts_of(texts, metadata, THINGS)
    problems = [] if len(texts) >= FEWEST else ["one text is too few to learn from"]
    problems += too_many(THINGS, len(texts), len(texts.broken), tolerance)
    return Findings(
        data=printable(str(data)),
        things=THINGS,
        count=count,
        checked=count,
        usable=not problems,
        problems=problems,
        notes=[*texts.notes, *notes_of_labels(texts), *notes_of_copies(THINGS, same)],
        broken=files_of(texts.broken),
        ignored=files_of(texts.ignored),
        passed_over=len(texts.ignored),
        duplicates=[[spelled(texts.keys[row]) for row in group] for group in same],
        labels=classes(texts),
        texts=_facts(texts),
        metadata=known,
    )


def _facts(texts: Texts) -> TextFacts:
    letters = np.array([len(text) for text in texts.texts])
    split = [text.split() for text in texts.texts]
    return TextFacts(
        letters=Spread.of(letters),
        words=Spread.of(np.array([len(words) for words in split])),
        distinct_words=len({word for words in split for word in words}),
        column=texts.column and printable(texts.column),
    )
