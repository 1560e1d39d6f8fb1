"""Sound as the bytes of a file, inside a page."""

import base64
import io
import wave

import numpy as np
from numpy.typing import NDArray

LOUDEST = 32767  # of 16 bits


def levels_of(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Sound in [-1, 1] with 16 bits; what is beyond is cut off."""
    return np.round(np.clip(sound, -1, 1) * LOUDEST).astype(np.int16)


def data_uri(sound: NDArray[np.int16], rate: int) -> str:
    """One channel of so many values a second inside a URI, as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
