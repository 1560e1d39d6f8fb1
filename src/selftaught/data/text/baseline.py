"""What a practitioner would take without any network: how often words stand in texts, by how rare they are."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.system.interruption import poll

PAIRS = (1, 2)  # words, and two that follow each other
WORD = r"(?u)\b\w+\b"  # those of one letter, too, which some languages are made of
MOST = 1 << 16  # of them
EXACT, FOREMOST = 2048, 512  # texts to learn from, up to which nothing is lost; and directions of more


class TfIdf:
    """TF-IDF of words and of pairs of them, with logarithms of counts, as scikit-learn's TfidfVectorizer has them.

    What a linear classifier, or neighbours, of the texts it was fitted to can make of a text lies in the directions
    that these span, so that features are given in these: no more than there are texts. Of more than 2,048 texts they
    are the 512 that tell most (Deerwester et al., 1990), as those of pixels are principal components.
    """

    def __init__(self, samples: Any, seed: int) -> None:
        """Fitted on `samples`, which have `texts`, alone."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer: Any = TfidfVectorizer(
            ngram_range=PAIRS, sublinear_tf=True, max_features=MOST, token_pattern=WORD, dtype=np.float32
        )
        if not any(re.search(WORD, text) for text in samples.texts):  # nothing tells these texts apart
            self.vectorizer = None
            return
        counts = self.vectorizer.fit_transform(samples.texts)
        poll()
        if counts.shape[0] <= EXACT or counts.shape[1] <= FOREMOST:
            self._turned = _in_their_span(counts)
        else:
            self._turned = TruncatedSVD(FOREMOST, n_iter=2, random_state=seed).fit(counts).transform

    def __call__(self, samples: Any) -> NDArray[np.float32]:
        """(N, D); a single column of zeros where nothing was learnt from has words."""
        if self.vectorizer is None:
            return np.zeros((len(samples.texts), 1), np.float32)
        return np.asarray(self._turned(self.vectorizer.transform(samples.texts)), np.float32)


def _in_their_span(counts: Any) -> Any:
    """What gives rows (N, words) in directions at right angles that span those of `counts` (texts, words)."""
    if counts.shape[1] <= counts.shape[0]:  # no more words than texts
        return lambda rows: rows.toarray()
    lengths, mixed = np.linalg.eigh((counts @ counts.T).toarray().astype(np.float64))
    kept = lengths > 1e-7 * lengths[-1]  # below it is what rounding has made
    turn = mixed[:, kept] / np.sqrt(lengths[kept])
    return lambda rows: (rows @ counts.T).toarray() @ turn
