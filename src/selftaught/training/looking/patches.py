"""What the places of samples are to an encoder, as colours: their features' first three principal components.

Places that the network takes for the same thing have the same colour, in all samples alike; after DINOv2 (Oquab et al.,
2023, 2304.07193, section 7.5), without the threshold that leaves the background out there.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Samples
from selftaught.training.looking.features import of_batches

TILE = 96  # pixels of the longer side of a sample's
FEWEST = 4  # places along each axis, below which there is nothing to see
ENDS = (1, 99)  # percentiles of a component between which its colour goes from none to all


def patch_colours(encoder: Encoder, samples: Samples) -> Image.Image | None:
    """A tile for each of a few samples, side by side; None where the encoder has no map of two axes to speak of."""
    maps = list(of_batches(encoder, samples, lambda own, x: own.map(x).float().cpu().numpy()))
    if maps[0].ndim != 4 or min(maps[0].shape[2:]) < FEWEST:
        return None
    features = np.concatenate(maps).transpose(0, 2, 3, 1)  # (B, h, w, C)
    if not np.isfinite(features).all():
        return None
    colours = _components(features.reshape(-1, features.shape[-1])).reshape(*features.shape[:3], 3)
    high, wide = features.shape[1:3]
    size = round(TILE * wide / max(high, wide)), round(TILE * high / max(high, wide))
    strip = Image.new("RGB", (len(colours) * size[0], size[1]))
    for place, tile in enumerate(colours):
        strip.paste(Image.fromarray(tile).resize(size, Image.Resampling.NEAREST), (place * size[0], 0))
    return strip


def _components(places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Places (N, C) by their first three components (N, 3), each from 0 to 255."""
    from sklearn.decomposition import PCA

    with np.errstate(divide="ignore", invalid="ignore"):  # what share of the spread is each component's: nobody asks
        found = PCA(min(3, *places.shape), random_state=0).fit_transform(places)
    found = np.pad(found, ((0, 0), (0, 3 - found.shape[1])))
    low, high = np.percentile(found, ENDS, axis=0)
    scaled = (found - low) / np.where(high > low, high - low, 1)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
