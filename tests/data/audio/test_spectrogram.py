"""Spectrograms and cepstra beside those of librosa 0.11.0, whose numbers lie in golden.npz.

They were made once, of `swept` at 8000 Hz, by `librosa.feature.melspectrogram(n_fft=512, win_length=200,
hop_length=80, n_mels=24, power=2, center=True, pad_mode="constant")`, `power_to_db(ref=1, amin=1e-10, top_db=None)` and
`mfcc(S=..., n_mfcc=20)`.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from selftaught.data.audio import spectrogram
from selftaught.data.audio.spectrogram import Transform, cepstra, mel_filters

TRANSFORM = Transform(rate=8000, window=200, hop=80, mels=24)


def swept() -> Tensor:
    """A rising tone, and another one that sets in."""
    t = np.arange(1800) / 8000
    y = 0.5 * np.sin(2 * np.pi * (300 + 4000 * t) * t) + 0.05 * np.sin(2 * np.pi * 2500 * t) * (t > 0.1)
    return torch.from_numpy(y.astype(np.float32))


def test_it_is_librosas() -> None:
    with np.load(Path(__file__).with_name("golden.npz")) as golden:
        decibels, waves = golden["decibels"], golden["cepstra"]
    made = TRANSFORM(swept()).numpy()
    assert TRANSFORM.bins == 512 and made.shape == decibels.shape == (24, TRANSFORM.frames(1800))
    assert np.allclose(made, decibels, atol=0.05)  # what is 80 dB below the loudest is rounding in part
    assert np.allclose(made[decibels > -40], decibels[decibels > -40], atol=1e-3)
    assert np.allclose(cepstra(torch.from_numpy(decibels), 20).numpy(), waves, atol=1e-3)


def test_a_long_clip_is_made_in_parts_that_no_number_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TRANSFORM(swept())
    monkeypatch.setattr(spectrogram, "AT_ONCE", 5)
    assert torch.allclose(TRANSFORM(swept()), whole, atol=1e-4)


def test_every_mel_hears_something_at_any_rate_and_silence_has_a_floor() -> None:
    for rate, mels in ((16_000, 64), (4000, 64), (44_100, 128), (1000, 64), (16_000, 256)):
        transform = Transform(rate, round(0.025 * rate), round(0.01 * rate), mels)
        filters = mel_filters(rate, transform.bins, mels)
        assert (filters.sum(dim=1) > 0).all() and (filters.argmax(dim=1).diff() >= 0).all()
    assert (TRANSFORM(torch.zeros(400)) == -100).all()
