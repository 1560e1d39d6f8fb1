"""Which features of an encoder are judged, and what a probe is shown of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selftaught.contracts.encoder import Encoder, TokenEncoder, Tokens
from selftaught.contracts.samples import Samples
from selftaught.judging.baselines import standardised
from selftaught.judging.finite import refuse_infinite
from selftaught.judging.principal import Principal, principal
from selftaught.system.components import hint
from selftaught.system.errors import UsageError
from selftaught.training.looking.features import as_inputs, of_batches, view_batches
from selftaught.training.pretrained import Renormalised

AUTO, OWN, BAG = "auto", "own", "bag"
NAMES = (OWN, "mean", "class", "mean_std", "max", "quarters", "last_blocks", BAG)
LAST = 4  # blocks, as in the linear evaluation of DINO (2104.14294, section 4.1) and DINOv2 (2304.07193, section 7.1)
GRID = 2  # quarters along each side
# Of a bag, along each side: places of its patches, half as wide and high as the sample, as EMP-SSL's (2304.03977) are.
# The authors draw 128 of them; a grid is the same each time, and each place costs a pass.
PLACES = 4
AUTO_WIDTH = 1024  # numbers that a feature of "auto" may have, unless it is the encoder's own
AUTO_BYTES = 1 << 29  # that the features of "auto" may take together

Array = NDArray[Any]
Rows = NDArray[np.int64]
Parts = dict[str, Tensor]


class Shown(Mapping[str, Principal]):
    """Kinds of features by name, each in its principal components by the training part; made when it is asked for."""

    def __init__(self, features: Mapping[str, Array], part: Rows, scaled: bool = True) -> None:
        """features: (N, D) each; scaled: whether each of their numbers is brought to mean 0 and deviation 1 first."""
        self.features = features

        @cache
        def made(name: str) -> Principal:
            return principal(standardised(features[name], part) if scaled else features[name], part)

        self._made = made

    def __getitem__(self, name: str) -> Principal:
        return self._made(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)


def parse_features(text: str) -> tuple[str, ...]:
    """Names of features by commas, each once; nothing for `auto`. Raises UsageError."""
    names = tuple(dict.fromkeys(map(str.strip, text.split(","))))
    for name in names:
        if name not in NAMES and names != (AUTO,):
            raise UsageError(f"--features cannot be {text!r}: {name!r} is none; {hint(name, (AUTO, *NAMES))}")
    return () if names == (AUTO,) else names


def taken(
    encoder: Encoder,
    sources: Sequence[Samples],
    wanted: tuple[str, ...],
    seen: Callable[[int], None],
    count: int,
    called: str = "given",
) -> dict[str, Array]:
    """The wanted features (N, D) of all samples of `sources`, `count` in all; with none wanted, all that may be tried.

    `seen` is told how many are done. Raises UsageError where the encoder, `called` so, has none of that name, and
    DataError where any are not finite.
    """
    names: tuple[str, ...] = ()
    rows: list[dict[str, Array]] = []
    done = 0

    def make(own: Encoder, x: Tensor) -> Parts:
        return {name: part.float().cpu() for name, part in features_of(own, x, names or wanted).items()}

    for samples in sources:
        before = done
        for made in of_batches(encoder, samples, make):
            _refuse_lacking(wanted, made, encoder, samples, called)
            names = names or wanted or tuple(_affordable(_different(made), count))
            for name in names:
                refuse_infinite(made[name], samples, done - before, f"the {called} features")
            rows.append({name: made[name].numpy() for name in names})
            done += len(rows[-1][names[0]])
            seen(done)
    return {name: np.concatenate([row[name] for row in rows]) for name in names}


def _different(made: Parts) -> Parts:
    """Features but for the encoder's own where it is one of the others by its name: that then comes first."""
    own = made[OWN]
    same = next((n for n, x in made.items() if n != OWN and x.shape == own.shape and _equal(x, own)), None)
    return {same: made[same]} | {n: x for n, x in made.items() if n not in (OWN, same)} if same else made


def _refuse_lacking(wanted: tuple[str, ...], made: Parts, encoder: Encoder, samples: Samples, called: str) -> None:
    if lacking := [name for name in wanted if name not in made]:
        x = as_inputs(encoder, next(view_batches(samples, patch=encoder.patch)))
        there = ", ".join((*features_of(encoder, x), *[BAG] * (x.ndim == 4)))
        raise UsageError(f"--features cannot be {lacking[0]!r}: of the {called} encoder there are {there}")


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def _affordable(made: Parts, count: int) -> list[str]:
    """The first, which is the encoder's own, and those of the others that are not too wide or too large together."""
    names: list[str] = []
    room = AUTO_BYTES / 4 / count
    for name, x in made.items():
        width = x.shape[1]
        if not names or (width <= AUTO_WIDTH and width <= room):
            names.append(name)
            room -= width
    return names


@torch.no_grad()
def features_of(encoder: Encoder, x: Tensor, wanted: tuple[str, ...] = ()) -> Parts:
    """Features (B, D) of samples x by name: those wanted that there are, or with none wanted all that cost one pass."""
    made: Parts = {BAG: _bag(encoder, x)} if BAG in wanted and x.ndim == 4 else {}
    if wanted == (OWN,):
        made[OWN] = encoder(x)
    elif set(wanted) != {BAG}:
        inner, x = opened(encoder, x)
        if isinstance(inner, TokenEncoder):
            made |= _of_tokens(inner, x)
        else:
            made |= _of_map(*inner.feature_and_map(x), inner.along)
    return {name: made[name] for name in NAMES if name in made and (not wanted or name in wanted)}


def _bag(encoder: Encoder, x: Tensor) -> Tensor:
    """The mean of the features (B, D) of overlapping patches of images x (B, C, H, W), each as large as the image."""
    size = (x.shape[2], x.shape[3])
    tall, wide = (-(-side // 2) for side in size)
    features = [
        encoder(F.interpolate(x[..., top : top + tall, left : left + wide], size, mode="bilinear", align_corners=False))
        for top in _starts(size[0] - tall)
        for left in _starts(size[1] - wide)
    ]
    return torch.stack(features).mean(dim=0)


def _starts(room: int) -> list[int]:
    """Where patches begin along a side that leaves them so much room, evenly and each place once."""
    return sorted({round(place * room / (PLACES - 1)) for place in range(PLACES)})


def opened(encoder: Encoder, x: Tensor) -> tuple[Encoder, Tensor]:
    """The encoder that has the tokens, and samples as it takes them."""
    return (encoder.inner, encoder.own(x)) if isinstance(encoder, Renormalised) else (encoder, x)


def has_blocks(encoder: Encoder) -> bool:
    """Whether an encoder has tokens, and blocks whose outputs can be had."""
    return isinstance(encoder.inner if isinstance(encoder, Renormalised) else encoder, TokenEncoder)


def _of_tokens(encoder: TokenEncoder, x: Tensor) -> Parts:
    last = range(max(0, encoder.depth - LAST), encoder.depth)
    tokens = encoder.tokens(x, layers=last)
    grid = tokens.patches.mT.unflatten(2, encoder.grid(x.shape[2:]))
    made = _of_map(encoder.feature(tokens), grid, encoder.along, tokens.there)
    if getattr(encoder.net, "cls_token", None) is not None:
        made["class"] = tokens.prefix[:, 0]
    made["last_blocks"] = torch.cat(pooled_layers(encoder, tokens), dim=1)
    return made


def pooled_layers(encoder: TokenEncoder, tokens: Tokens) -> list[Tensor]:
    """What the feature (B, dim) would be if each of the layers asked for were the last.

    The weights of the last norm are left out: they scale and move each number, which standardising undoes.
    """
    prefix = tokens.prefix.shape[1]
    layers = [F.layer_norm(layer, layer.shape[-1:]) for layer in tokens.layers]
    return [encoder.feature(Tokens(layer[:, prefix:], layer[:, :prefix], there=tokens.there)) for layer in layers]


def _of_map(own: Tensor, features: Tensor, along: bool, there: Tensor | None = None) -> Parts:
    """Of the encoder's own feature (B, D) and its map (B, C, h, w), or (B, C, n) of rows and, `along` time, of series;
    `there` (B, n) says which places hold anything."""
    places = features.flatten(2)
    if there is None:
        mean, spread = places.mean(dim=2), places.std(dim=2, correction=0)
    else:
        share = (there / there.sum(dim=1, keepdim=True).clamp(min=1)).to(places.dtype)[:, None]
        mean = (places * share).sum(dim=2)
        spread = ((places - mean[..., None]).square() * share).sum(dim=2).sqrt()
    made = {OWN: own, "mean": mean}
    if places.shape[2] > 1:
        made["mean_std"] = torch.cat([mean, spread], dim=1)
    if along and features.ndim == 3:  # as is usual of moments (TS2Vec, 2106.10466, section 4.1)
        held = places if there is None else places.masked_fill(~there[:, None], -torch.inf)
        most = held.amax(dim=2)
        made["max"] = most if there is None else most.masked_fill(~there.any(dim=1, keepdim=True), 0)
    if features.ndim == 4 and min(features.shape[2:]) >= GRID:
        made["quarters"] = F.adaptive_avg_pool2d(features, GRID).flatten(1)
    return made
