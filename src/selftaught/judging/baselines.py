"""What a run is judged beside: the same network untrained, the weights it began with, and raw pixels."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Preparation, Samples
from selftaught.judging.coarse import finest, fits
from selftaught.run.export import load_encoder, part_of_run
from selftaught.run.folder import RunFolder
from selftaught.run.weights import fit_weights
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.interruption import poll
from selftaught.system.saying import say, say_once
from selftaught.training.looking.features import Array, view_batches

PIXEL_COMPONENTS = 256  # at most, or a probe of large images would take longer than all the rest


def untrained(part: Part, preparation: Preparation, seed: int, module: nn.Module | None = None) -> Encoder:
    """The same network with fresh weights.

    Its BatchNorm statistics are to be measured where it is judged, on the training part: without that its features
    would be badly scaled, and beating them would mean little.
    """
    torch.manual_seed(seed)
    if module is not None:
        module = deepcopy(module)
        reset(module)
    encoder: Encoder = modality.named(preparation.modality).build_encoder(part, preparation, module)
    return encoder.eval()


def initial(run: Path, encoder: Encoder, module: nn.Module | None) -> tuple[Encoder, str] | None:
    """What a run began with where that had learnt something before, to be measured as `untrained` is; what it was.

    None of a run that began with fresh weights, and, said aloud, where the weights cannot be had any more.
    """
    if not (run / "recipe.yaml").exists():  # an encoder alone, of which no more is known
        return None
    try:
        recipe = RunFolder(run).recipe
        if (run / "initial").is_dir():
            # A copy: in the user's own network stand the weights that are judged.
            began = load_encoder(part_of_run(run, "initial"), deepcopy(module))
        elif recipe.init:  # a run from before it was kept
            began = untrained(encoder.part, encoder.preparation, recipe.seed, module)
            fit_weights(began, recipe.init)
        else:
            return None
    except UsageError as error:
        say(f"warning: what the run began with cannot be had, so no verdict tells what it added to that: {error}")
        return None
    return began, recipe.init or "your own network"


def reset(module: nn.Module) -> None:
    """Draw the weights of a network anew, by its layers' own `reset_parameters`; say which have none and so stay."""
    kept = []
    for name, layer in module.named_modules():
        draw = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if draw is not None:
            draw()
        else:
            kept += [f"{name}.{own}".lstrip(".") for own, _ in layer.named_parameters(recurse=False)]
    if kept:
        names = ", ".join(kept[:3]) + (f" and {len(kept) - 3} more" if len(kept) > 3 else "")
        say(
            f"warning: the untrained network beside yours keeps the trained {names}: a layer with parameters of its "
            "own needs a method reset_parameters() to draw them anew"
        )


def standardised(features: Array, part: NDArray[np.int64]) -> Array:
    """Features (N, D) less the mean and by the deviation that each has on the rows `part`."""
    return np.asarray(StandardScaler().fit(features[part]).transform(features), dtype=np.float32)


class Pixels:
    """Raw values as features: standardised, and reduced to at most 256 principal components.

    The components keep their own variances: to standardise them again would blow up the noise of the last ones. Of
    images that are too many to be held, pixels that lie side by side are averaged, and that is said.
    """

    def __init__(self, samples: Samples, seed: int) -> None:
        """Fitted on `samples` alone."""
        self.side = _side(next(view_batches(samples))[:1], samples.count)
        if self.side > 1:
            say_once(
                f"note: the raw pixels of many images are averaged over {self.side} x {self.side}, to fit in memory"
            )
        flat = torch.cat([*self._flat(samples)]).numpy()
        poll()
        self.scaler = StandardScaler().fit(flat)
        components = min(PIXEL_COMPONENTS, *flat.shape)
        reduces = components < flat.shape[1]
        self.reduction = PCA(components, random_state=seed).fit(self.scaler.transform(flat)) if reduces else None

    def __call__(self, samples: Samples) -> Array:
        """(N, D) float32."""
        made, held = list[Array](), list[Tensor]()
        for rows in self._flat(samples):  # as many at a time as may be held
            if held and not fits(sum(own.nbytes for own in (*held, rows))):
                made.append(self._reduced(held))
                held = []
            held.append(rows)
        return np.concatenate([*made, self._reduced(held)])

    def _reduced(self, held: list[Tensor]) -> Array:
        scaled = self.scaler.transform(torch.cat(held).numpy())
        return np.asarray(self.reduction.transform(scaled) if self.reduction else scaled, dtype=np.float32)

    def _flat(self, samples: Samples) -> Iterator[Tensor]:
        """Raw values (B, D), a batch at a time."""
        return (_averaged(x, self.side).flatten(1) for x in view_batches(samples))


def _side(first: Tensor, count: int) -> int:
    """Of the squares of pixels to be averaged, for so many samples like the first to be held; 1 of what is no image."""
    sides = range(1, max(first.shape[2:]) + 1) if first.ndim == 4 else [1]
    return finest(sides, lambda side: _averaged(first, side).nbytes * count)


def _averaged(x: Tensor, side: int) -> Tensor:
    return x if side == 1 else F.avg_pool2d(x, [min(side, length) for length in x.shape[2:]], ceil_mode=True)
