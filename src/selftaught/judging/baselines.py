"""What a run is judged beside: the same network untrained, the weights it began with, and raw pixels."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Preparation, Samples
from selftaught.run.export import load_encoder, part_of_run
from selftaught.run.folder import RunFolder
from selftaught.run.weights import fit_weights
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.interruption import poll
from selftaught.system.saying import say
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
            began = load_encoder(part_of_run(run, "initial"), module)
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

    The components keep their own variances: to standardise them again would blow up the noise of the last ones.
    """

    def __init__(self, samples: Samples, seed: int) -> None:
        """Fitted on `samples` alone."""
        flat = self._flat(samples)
        poll()
        self.scaler = StandardScaler().fit(flat)
        components = min(PIXEL_COMPONENTS, *flat.shape)
        reduces = components < flat.shape[1]
        self.reduction = PCA(components, random_state=seed).fit(self.scaler.transform(flat)) if reduces else None

    def __call__(self, samples: Samples) -> Array:
        """(N, D) float32."""
        scaled = self.scaler.transform(self._flat(samples))
        return np.asarray(self.reduction.transform(scaled) if self.reduction else scaled, dtype=np.float32)

    @staticmethod
    def _flat(samples: Samples) -> Array:
        return torch.cat([x.flatten(1) for x in view_batches(samples)]).numpy()
