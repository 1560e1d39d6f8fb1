"""What a network has to beat: CIFAR-10 by k-means of patches and a linear classifier, in minutes of this machine.

Coates, Ng and Lee (2011, An analysis of single-layer networks in unsupervised feature learning): patches of 6 x 6
pixels are normalised and whitened, k-means finds so many kinds of them without a label, and an image is, for each
quarter, how much nearer than usual its patches are to each kind. A ridge classifier on those features, its strength
chosen on a fifth of the training images, is judged on the test images. Writes docs/results/patches.json, a row a number
of kinds.

    python bench/patches.py [--kinds 400,1600] [--data cifar10.zip] [--limit N]
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from selftaught.data.images.samples import open_samples
from selftaught.system.saying import say

RESULT = Path(__file__).parent.parent / "docs/results/patches.json"
SIDE, DRAWN, BATCH = 6, 400_000, 50  # pixels of a patch, patches that are learnt from, images at a time
STEADY, EPSILON = 10.0, 0.1  # added to variances: of a patch in grey levels, and of a direction when it is whitened
STRENGTHS = (1e1, 1e2, 1e3, 1e4, 1e5)

Array = NDArray[Any]


@dataclass(frozen=True)
class Kinds:
    """Kinds of patches, and how a patch is prepared before it is compared with them."""

    mean: Tensor  # (D,) of patches
    whitening: Tensor  # (D, D)
    centres: Tensor  # (K, D)

    def features(self, images: Array) -> Array:
        """Of images (N, H, W, 3) the pooled nearness to each kind (N, 4 K)."""
        made = [self._of(torch.from_numpy(images[at : at + BATCH])) for at in range(0, len(images), BATCH)]
        return torch.cat(made).numpy()

    def _of(self, images: Tensor) -> Tensor:
        seen = F.unfold(images.permute(0, 3, 1, 2).float(), SIDE).mT  # (B, places, D)
        apart = torch.cdist((normalised(seen) - self.mean) @ self.whitening, self.centres)
        near = (apart.mean(dim=2, keepdim=True) - apart).clamp(min=0).mT
        places = round(near.shape[2] ** 0.5)
        return F.adaptive_avg_pool2d(near.unflatten(2, (places, places)), 2).flatten(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--kinds", default="400,1600")
    parser.add_argument("--limit", type=int, help="images of each part at most")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    parts = [opened(f"{asked.data}/{part}", asked.limit) for part in ("train", "test")]
    held = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for count in map(int, asked.kinds.split(",")):
        began = time.perf_counter()
        kinds = found(parts[0][0], count, asked.seed)
        say(f"{count:,} kinds of patches found in {time.perf_counter() - began:.0f} s")
        (x, y), (x_test, y_test) = ((kinds.features(images), labels) for images, labels in parts)
        right, strength = judged(x, y, x_test, y_test, asked.seed)
        row = {"accuracy": round(100 * right, 2), "strength": strength, "seconds": round(time.perf_counter() - began)}
        held[f"{count} kinds"] = {**row, "images": len(x), "seed": asked.seed, "cores": len(os.sched_getaffinity(0))}
        if not asked.limit:
            RESULT.write_text(json.dumps(held, indent=2) + "\n")
        print(json.dumps(held, indent=2))


def opened(data: str, limit: int | None) -> tuple[Array, Array]:
    """Images (N, H, W, 3) and their labels (N,)."""
    samples = open_samples(data, labelled=True, limit=limit)
    images = samples.batch(np.arange(samples.count))[0].permute(0, 2, 3, 1)
    return images.contiguous().numpy(), np.array(samples.labels)


def normalised(patches: Tensor) -> Tensor:
    """Patches (..., D) with mean 0 and deviation 1, those of nearly one colour less."""
    apart = patches - patches.mean(dim=-1, keepdim=True)
    return apart / (patches.var(dim=-1, keepdim=True) + STEADY).sqrt()


def found(images: Array, count: int, seed: int) -> Kinds:
    """So many kinds of patches, by k-means of some that are drawn, whitened."""
    rng = np.random.default_rng(seed)
    room = images.shape[1] - SIDE + 1
    which, top, left = rng.integers(len(images), size=DRAWN), *rng.integers(room, size=(2, DRAWN))
    rows, columns = top[:, None, None] + np.arange(SIDE)[:, None], left[:, None, None] + np.arange(SIDE)
    # In the order of channels, rows, columns, as they are unfolded later.
    drawn = images[which[:, None, None], rows, columns].transpose(0, 3, 1, 2).reshape(DRAWN, -1)
    patches = normalised(torch.from_numpy(drawn).float())
    mean = patches.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    whitening = vectors @ torch.diag((values + EPSILON).rsqrt()) @ vectors.T
    means = MiniBatchKMeans(count, batch_size=10_000, n_init=1, max_iter=20, random_state=seed)
    means.fit(((patches - mean) @ whitening).numpy())
    return Kinds(mean, whitening, torch.from_numpy(means.cluster_centers_).float())


def judged(x: Array, y: Array, x_test: Array, y_test: Array, seed: int) -> tuple[float, float]:
    """How many test samples are right, by a ridge classifier, and its strength."""
    scale = StandardScaler(copy=False)
    x, x_test = scale.fit_transform(x), scale.transform(x_test)
    learnt, held = train_test_split(np.arange(len(x)), test_size=0.2, random_state=seed, stratify=y)
    tried = {s: float(RidgeClassifier(alpha=s).fit(x[learnt], y[learnt]).score(x[held], y[held])) for s in STRENGTHS}
    best = max(tried, key=tried.__getitem__)
    return float(RidgeClassifier(alpha=best).fit(x, y).score(x_test, y_test)), best


if __name__ == "__main__":
    main()
