"""What probes are shown: networks, features, raw values; whatever is fitted is fitted on a training part alone."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.modality import Fit
from selftaught.judging.baselines import Pixels, standardised
from selftaught.judging.heads import Parts
from selftaught.judging.inside import Held, as_one, layers, scaled, tokens
from selftaught.judging.labelled import Labelled
from selftaught.judging.maps import evened, maps, pixels_at
from selftaught.judging.shown import Shown, taken
from selftaught.judging.subsets import FOLDS
from selftaught.system.devices import device_of
from selftaught.system.progress import Progress
from selftaught.training.looking.features import estimate_norms, norms_of

Array = NDArray[Any]
Rows = NDArray[np.int64]
Source = Callable[[Rows], Any]  # what a probe is shown of all samples, by the rows that make up the training part
Sources = dict[str, Source]  # by kind: trained, untrained ...

MEASURED = ("untrained", "initial")  # whose statistics of BatchNorm are no part of what was exported
KEPT = 3 * FOLDS  # training parts whose features are held: those of the usual number of rounds, for every probe


@dataclass(frozen=True)
class Own:
    """An encoder, and the samples as it takes them."""

    kind: str
    encoder: Encoder
    data: Labelled


def sources(
    encoders: dict[str, Encoder], shown: Mapping[str, Labelled], seed: int, wanted: Set[str], features: tuple[str, ...]
) -> dict[str, Sources]:
    """By what probes take, what they are shown; of features those named, or with none named, all there are.

    shown: the samples as each encoder takes them, and as the trained one does those of whom nothing is said.
    """
    data = shown["trained"]
    device = device_of("auto")
    own = {kind: Own(kind, encoder.to(device), shown.get(kind, data)) for kind, encoder in encoders.items()}
    found: dict[str, Sources] = {"encoder": {kind: _made(one, lambda encoder: encoder) for kind, one in own.items()}}
    asked = wanted - {"encoder", "map"}
    fixed = _without_network(data, seed) if asked and "untrained" in encoders else {}
    for takes, inside in (("tokens", tokens), ("layers", layers)):
        if takes in wanted:
            found[takes] = {kind: _inside(one, inside, takes == "layers") for kind, one in own.items()}
            found[takes] |= {kind: _as_one(source) for kind, source in fixed.items()}
    if "map" in wanted:
        found["map"] = _maps(own, data)
    if asked <= {"tokens", "layers"}:  # nobody asks for features, which take long of many samples
        return found
    alone = features[:1] or ("own",)  # what probes see that choose nothing
    held = features if "shown" in wanted else alone
    made = {kind: _features(one, held) for kind, one in own.items()}
    first = {kind: _first(source, alone[0]) for kind, source in made.items()}
    # What is fixed is scaled alike for every probe: its components keep variances of their own, see `Pixels`.
    found["features"] = first | fixed
    found["standardised"] = {kind: _standardised(source) for kind, source in first.items()} | fixed
    found["shown"] = {kind: _shown(source) for kind, source in made.items()}
    found["shown"] |= {kind: _shown_fixed(kind, source) for kind, source in fixed.items()}
    return found


def by_part(source: Source, most: int = 1) -> Source:
    """The source, which is asked anew only for another training part than the last ones."""

    @lru_cache(maxsize=most)
    def of(part: bytes) -> Any:
        return source(np.frombuffer(part, dtype=np.int64).copy())  # which may be written to, as torch wants it

    return lambda part: of(part.tobytes())


def _made(own: Own, make: Callable[[Encoder], Any], most: int = 1) -> Source:
    """What is made of an encoder: once or, where its norms are measured on each training part, for each anew."""
    if own.kind not in MEASURED or not norms_of(own.encoder):
        made = make(own.encoder)
        return lambda part: made
    return by_part(lambda part: make(estimate_norms(own.encoder, own.data.train.subset(part))), most)


def _inside(own: Own, inside: Callable[[str, Encoder, Labelled], Held], each: bool) -> Source:
    made = _made(own, lambda encoder: inside(own.kind, encoder, own.data))

    def shown(part: Rows) -> Parts:
        values, there = made(part)
        return scaled(values, part, each, there)

    return shown


def _maps(own: Mapping[str, Own], data: Labelled) -> Sources:
    """The map of each encoder, and the pixels and the position of each place of the trained one's."""
    found = {kind: _map(one) for kind, one in own.items()}
    if "untrained" in own:
        pixels = pixels_at(data, found["trained"](np.arange(1)).values.shape[2:])
        found["pixels"] = lambda part: evened(pixels, part)
    return found


def _map(own: Own) -> Source:
    values = _made(own, lambda encoder: maps(own.kind, encoder, own.data))
    return lambda part: evened(values(part), part)


def _features(own: Own, wanted: tuple[str, ...]) -> Source:
    """What an encoder makes of all samples (N, D), by name."""
    count = len(own.data.classes)

    def make(encoder: Encoder) -> dict[str, Array]:
        with Progress(f"{own.kind} features", count, "samples") as bar:
            return taken(encoder, own.data.sources, wanted, bar.update, count, own.kind)

    return _made(own, make, KEPT)


def _first(source: Source, name: str) -> Source:
    def first(part: Rows) -> Array:
        made: dict[str, Array] = source(part)
        return made[name] if name in made else next(iter(made.values()))

    return first


def _standardised(source: Source) -> Source:
    return lambda part: standardised(source(part), part)


def _shown(source: Source) -> Source:
    return lambda part: Shown(source(part), part)


def _as_one(source: Source) -> Source:
    return lambda part: as_one(source(part), part)


def _shown_fixed(kind: str, source: Source) -> Source:
    return lambda part: Shown({kind: source(part)}, part, scaled=False)


def _without_network(data: Labelled, seed: int) -> Sources:
    """Raw values, and what is usual beside them of this kind of data, where it can be had."""
    kind = modality.named(data.train.preparation.modality)
    fits: dict[str, Fit | None] = {"pixels": kind.raw or Pixels, "usual": kind.usual(data.sources)}
    return {name: by_part(partial(_fitted, fit, data, seed)) for name, fit in fits.items() if fit}


def _fitted(fit: Fit, data: Labelled, seed: int, part: Rows) -> Array:
    """What is made of all samples (N, D) by what is fitted to those of the training part."""
    learnt = data.train if len(part) == data.train.count else data.train.subset(part)
    made = fit(learnt, seed)
    return np.concatenate([made(samples) for samples in data.sources])
