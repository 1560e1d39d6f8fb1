"""A small set of series, for the tests of many rooms."""

from pathlib import Path

import numpy as np


def waves(folder: Path) -> str:
    """Waves of two lengths, noise beside them, a gap in one; a class is a frequency."""
    rng, y = np.random.default_rng(0), np.arange(48) % 2
    t = np.linspace(0, 1, 22)
    waves = np.sin(2 * np.pi * (2 + 3 * y[:, None]) * t + rng.uniform(0, 6, (48, 1)))
    x = np.stack([waves, rng.normal(size=(48, 22))], axis=1)
    x[3, 0, 4:9] = np.nan
    np.savez(folder / "waves.npz", x=x, y=np.array(["slow", "fast"])[y], lengths=np.where(np.arange(48) % 3, 22, 17))
    return f"series:{folder / 'waves.npz'}"
