"""Clips that the tests make up: tones in faint noise, written by the standard library."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 4000


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE, seed: int = 0) -> NDArray[np.float64]:
    """A tone (samples,) of half the loudness there can be, from any phase."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * frequency * at + rng.uniform(0, 6)) + 0.01 * rng.normal(size=len(at))


def wav(file: Path, sound: NDArray[np.float64], rate: int = RATE) -> Path:
    """Write sound (samples,) or (samples, channels) with 16 bits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    channels = sound.reshape(len(sound), -1)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.round(np.clip(channels, -1, 1) * 32767).astype("<i2").tobytes())
    return file


def folder(place: Path, each: int = 24) -> Path:
    """As many clips of low and of high tones, of several lengths."""
    for number in range(each):
        for label, lowest in (("high", 900), ("low", 200)):
            seconds = 0.12 + 0.02 * (number % 8)
            made = tone(lowest + 5 * number, seconds, seed=2 * number + (label == "low"))
            wav(place / label / f"{number:02d}.wav", made)
    return place
