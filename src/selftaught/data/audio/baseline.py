"""What is usual to know of a clip without any network: how its cepstra are on the whole, and how much they vary."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from selftaught.data.audio.spectrogram import cepstra

COEFFICIENTS = 20


class Cepstra:
    """Mean and deviation of mel-frequency cepstral coefficients (N, 40) over the whole of each clip, standardised."""

    def __init__(self, samples: Any, seed: int) -> None:
        """Fitted on `samples`, which have `levels`, alone."""
        from sklearn.preprocessing import StandardScaler

        self.scaler = StandardScaler().fit(statistics(samples))

    def __call__(self, samples: Any) -> NDArray[np.float32]:
        """(N, D)."""
        return np.asarray(self.scaler.transform(statistics(samples)), np.float32)


def statistics(samples: Any) -> NDArray[np.float32]:
    """Of clips, which have `levels`: (N, 40)."""
    found = []
    for levels in samples.levels():
        waves = cepstra(levels.clamp(min=samples.preparation.low), min(COEFFICIENTS, len(levels)))
        found.append(torch.cat([waves.mean(dim=1), waves.std(dim=1, correction=0)]).numpy())
    return np.stack(found)
