"""The weighted k-nearest-neighbour probe, exact and in bounded memory."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

NEIGHBOURS = 200  # Wu et al. (1805.01978, section 3.4), fewer where there are few samples
TEMPERATURE = 0.1
CHUNK_BYTES = 256 << 20  # of similarities held at once


def neighbours_for(samples: int, classes: int) -> int:
    """How many neighbours vote: 200, but never more than half of a class has on average, and at least one."""
    return max(1, min(NEIGHBOURS, samples // (2 * classes)))


def knn_predict(
    train: NDArray[Any], labels: NDArray[np.int64], test: NDArray[Any], classes: int, k: int | None = None
) -> NDArray[np.int64]:
    """The class of each test feature (M,), by the votes of its k nearest training features by cosine.

    train: (N, D), labels: (N,) in [0, classes), test: (M, D); a vote weighs exp(cosine / 0.1).
    """
    k = k or neighbours_for(len(train), classes)
    keys = F.normalize(torch.from_numpy(np.ascontiguousarray(train)).float(), dim=1)
    queries = F.normalize(torch.from_numpy(np.ascontiguousarray(test)).float(), dim=1)
    targets = torch.from_numpy(labels)
    step = max(1, CHUNK_BYTES // (4 * len(keys)))
    said = []
    for chunk in queries.split(step):
        similarity, nearest = (chunk @ keys.T).topk(min(k, len(keys)), dim=1)
        votes = torch.zeros(len(chunk), classes)
        votes.scatter_add_(1, targets[nearest], (similarity / TEMPERATURE).exp())
        said.append(votes.argmax(dim=1))
    return torch.cat(said).numpy()
