"""Samples of any kind with what a trained encoder makes of them: what finding, choosing and sorting out start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Preparation, Samples
from selftaught.data.opening import refuse_other_kind, tell_notes
from selftaught.judging.finite import refuse_infinite
from selftaught.judging.neighbours import unit
from selftaught.run.export import load_encoder, warn_of_cut
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.devices import device_of
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.text import printable
from selftaught.training.looking.features import of_batches


@dataclass(frozen=True)
class Featured:
    """Samples, and their features (N, D) float32, each of length one."""

    samples: Samples
    features: NDArray[np.float32]

    @property
    def kind(self) -> Modality:
        """What kind of data they are."""
        return modality.named(self.samples.preparation.modality)


def encoder_of(run: str, module: nn.Module | None) -> Encoder:
    """The encoder of a run, on the device where it works."""
    encoder = load_encoder(run, module=module).to(device_of("auto"))
    warn_of_cut(run)
    keep_freed_memory()
    return encoder


def opened(preparation: Preparation, run: str, data: str, **how: Any) -> Samples:
    """The samples of `data` as the encoder of `run` takes them; broken ones are left out and said.

    how: more that `open_samples` of this kind takes. Raises UsageError where they are of another kind.
    """
    kind = modality.named(preparation.modality)
    refuse_other_kind(f"the encoder of {printable(run)}", kind, data)
    with Progress("reading", 0, kind.THINGS) as bar:
        samples: Samples = kind.open_samples(data, like=preparation, tolerance=1.0, progress=bar.polled(poll), **how)
        bar.update(samples.count, total=samples.count)
    warn_of(samples.quarantined, data)
    tell_notes(samples.notes, data)
    return samples


def featured(encoder: Encoder, samples: Samples) -> Featured:
    """The samples with their features. Raises DataError where any are not finite."""
    return Featured(samples, np.concatenate(list(chunks(encoder, samples))))


def chunks(encoder: Encoder, samples: Samples) -> Iterator[NDArray[np.float32]]:
    """Features of all samples in order, of length one, a batch (B, D) at a time, while a bar shows how far that is.

    Raises DataError where any are not finite.
    """
    things, done = modality.named(samples.preparation.modality).THINGS, 0
    with Progress("features", samples.count, things) as bar:
        for made in of_batches(encoder, samples, lambda own, x: own(x).float().cpu()):
            refuse_infinite(made, samples, done)
            done += len(made)
            bar.update(done)
            yield unit(made.numpy()).numpy()
