"""What probes are shown: networks, features, raw pixels; whatever is fitted is fitted on a training part alone."""

from collections.abc import Callable, Set
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.judging.baselines import Pixels, standardised
from selftaught.judging.inside import as_one, layers, scaled, tokens
from selftaught.judging.labelled import Labelled
from selftaught.judging.shown import Shown, taken
from selftaught.system.progress import Progress

Array = NDArray[Any]
Rows = NDArray[np.int64]
Source = Callable[[Rows], Any]  # what a probe is shown of all samples, by the rows that make up the training part
Sources = dict[str, Source]  # by kind: trained, untrained ...


def sources(
    encoders: dict[str, Encoder], data: Labelled, seed: int, wanted: Set[str], features: tuple[str, ...]
) -> dict[str, Sources]:
    """By what probes take, what they are shown; of features those named, or with none named, all there are."""
    found: dict[str, Sources] = {"encoder": {kind: _always(encoder) for kind, encoder in encoders.items()}}
    pixels = by_part(lambda part: _pixels(data, part, seed))
    for takes, inside in (("tokens", tokens), ("layers", layers)):
        if takes in wanted:
            found[takes] = {kind: _inside(inside(kind, own, data), takes == "layers") for kind, own in encoders.items()}
            if "untrained" in encoders:
                found[takes]["pixels"] = lambda part: as_one(pixels(part), part)
    if wanted <= {"encoder", "tokens", "layers"}:  # nobody asks for features, which take long of many samples
        return found
    alone = features[:1] or ("own",)  # what probes see that choose nothing
    held = features if "shown" in wanted else alone
    made = {kind: _features(kind, encoder, data, held) for kind, encoder in encoders.items()}
    first = {kind: own[alone[0]] if alone[0] in own else next(iter(own.values())) for kind, own in made.items()}
    found["features"] = {kind: _always(own) for kind, own in first.items()}
    found["standardised"] = {kind: _standardised(own) for kind, own in first.items()}
    found["shown"] = {kind: _shown(own) for kind, own in made.items()}
    if "untrained" in encoders:
        # Scaled alike for every probe: their components keep variances of their own, see `Pixels`.
        found["features"]["pixels"] = found["standardised"]["pixels"] = pixels
        found["shown"]["pixels"] = lambda part: Shown({"pixels": pixels(part)}, part, scaled=False)
    return found


def by_part(source: Source) -> Source:
    """The source, which is asked anew only for another training part than before."""

    @lru_cache(maxsize=1)
    def of(part: bytes) -> Any:
        return source(np.frombuffer(part, dtype=np.int64).copy())  # which may be written to, as torch wants it

    return lambda part: of(part.tobytes())


def _always(thing: Any) -> Source:
    return lambda part: thing


def _standardised(features: Array) -> Source:
    return lambda part: standardised(features, part)


def _shown(features: dict[str, Array]) -> Source:
    return lambda part: Shown(features, part)


def _inside(values: Tensor, each: bool) -> Source:
    return lambda part: scaled(values, part, each)


def _features(kind: str, encoder: Encoder, data: Labelled, wanted: tuple[str, ...]) -> dict[str, Array]:
    """What an encoder makes of all samples (N, D), by name."""
    count = len(data.classes)
    with Progress(f"{kind} features", count, "samples") as bar:
        return taken(encoder, data.sources, wanted, bar.update, count, kind)


def _pixels(data: Labelled, part: Rows, seed: int) -> Array:
    learnt = data.train if len(part) == data.train.count else data.train.subset(part)
    pixels = Pixels(learnt, seed)
    return np.concatenate([pixels(samples) for samples in data.sources])
