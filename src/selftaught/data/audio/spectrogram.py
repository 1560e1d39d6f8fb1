"""From sound to a picture of it: log-mel spectrograms and cepstra, in plain torch."""

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

QUIETEST = 1e-10  # power below which nothing is told apart: -100 dB
AT_ONCE = 2048  # frames; of a long clip all of them would fill a machine
LINEAR = 1000.0  # Hz, up to which Slaney's mels are in proportion to frequency
PER_MEL = 200 / 3  # Hz of a mel there
STEP = math.log(6.4) / 27  # of the logarithm of frequency for each mel beyond


@dataclass(frozen=True)
class Transform:
    """How sound of one sampling rate becomes a spectrogram."""

    rate: int  # samples of a second
    window: int  # samples that a frame is of
    hop: int  # samples between the beginnings of frames
    mels: int

    @property
    def bins(self) -> int:
        """Samples of a Fourier transform: twice the power of two that holds a window, which zeros fill up.

        It is more where mels would otherwise lie closer than frequencies, and some would hear nothing.
        """
        lowest = float(to_hertz(to_mel(torch.tensor(self.rate / 2)) / (self.mels + 1)))  # Hz from mel to mel
        return 1 << (max(2 * self.window, math.ceil(self.rate / lowest)) - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Of so many samples: one round the first, and one for each hop."""
        return samples // self.hop + 1

    def __call__(self, sound: Tensor) -> Tensor:
        """Mel spectrogram (mels, frames) of mono sound (samples,), in dB of power.

        Frames are centred on every hop, behind both ends there is silence; a Hann window; the power of the Fourier
        transform; triangles of Slaney's scale and area. What librosa calls melspectrogram and power_to_db gives the
        same numbers.
        """
        window = F.pad(hann(self.window, sound), self._aside())
        padded = F.pad(sound, (self.bins // 2, self.bins // 2))
        frames = padded.unfold(0, self.bins, self.hop)
        filters = mel_filters(self.rate, self.bins, self.mels).to(sound)
        parts = [filters @ torch.fft.rfft(part * window).abs().square().T for part in frames.split(AT_ONCE)]
        return 10 * torch.cat(parts, dim=1).clamp(min=QUIETEST).log10()

    def _aside(self) -> tuple[int, int]:
        """Zeros on both sides of a window."""
        left = (self.bins - self.window) // 2
        return left, self.bins - self.window - left


def hann(length: int, like: Tensor) -> Tensor:
    """A Hann window (length,), which is periodic."""
    return torch.hann_window(length, periodic=True, dtype=like.dtype, device=like.device)


def to_mel(hertz: Tensor) -> Tensor:
    """Slaney's scale (Auditory Toolbox, 1998): in proportion up to 1000 Hz, logarithmic beyond."""
    beyond = LINEAR / PER_MEL + (hertz.clamp(min=LINEAR) / LINEAR).log() / STEP
    return torch.where(hertz < LINEAR, hertz / PER_MEL, beyond)


def to_hertz(mel: Tensor) -> Tensor:
    """The frequencies of mels."""
    turn = LINEAR / PER_MEL
    return torch.where(mel < turn, mel * PER_MEL, LINEAR * (STEP * (mel - turn)).exp())


@cache
def mel_filters(rate: int, bins: int, mels: int) -> Tensor:
    """Triangles (mels, bins // 2 + 1) evenly spread in mels up to half of `rate`, each of area 2 in Hz (Slaney's)."""
    top = to_mel(torch.tensor(rate / 2, dtype=torch.float64))
    corners = to_hertz(torch.linspace(0, 1, mels + 2, dtype=torch.float64) * top)
    at = torch.arange(bins // 2 + 1, dtype=torch.float64) * rate / bins
    low, middle, high = (corners[start : start + mels, None] for start in range(3))
    rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)).float()


def cepstra(spectrogram: Tensor, count: int) -> Tensor:
    """The first `count` mel-frequency cepstral coefficients (..., count, frames) of spectrograms (..., mels, frames).

    A discrete cosine transform (II, orthonormal) over the mels, as librosa's mfcc has it.
    """
    mels = spectrogram.shape[-2]
    places = torch.arange(mels, dtype=spectrogram.dtype, device=spectrogram.device) + 0.5
    waves = torch.arange(count, dtype=spectrogram.dtype, device=spectrogram.device)[:, None]
    basis = (math.pi / mels * waves * places).cos() * math.sqrt(2 / mels)
    basis[0] /= math.sqrt(2)
    return basis @ spectrogram
