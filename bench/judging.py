"""How fast are the probes? kNN beside lightly's, the linear probe beside scikit-learn's best of the same grid.

50,000 features of 512 numbers in 10 classes that overlap, 10,000 to judge. Ours chooses between features as they are
and whitened ones as well. Writes docs/results/judging.json.

    python bench/judging.py [--rounds 3] [--part linear]
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from selftaught.judging.baselines import standardised
from selftaught.judging.probes.knn import knn_predict
from selftaught.judging.probes.linear import STRENGTHS, linear_predict
from selftaught.judging.shown import Shown

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/judging.json"
TRAIN, TEST, WIDTH, CLASSES, NEIGHBOURS = 50_000, 10_000, 512, 10, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["knn", "linear"], help="measure this alone; the other part stays as it was")
    asked = parser.parse_args()
    features, labels = made()
    parts = {"knn": lambda: knn(features, labels, asked.rounds), "linear": lambda: linear(features, labels)}
    held = json.loads(RESULT.read_text()) if asked.part else {}
    result = {name: held[name] if asked.part not in (None, name) else part() for name, part in parts.items()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def made() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes of three clumps each, with noise along the directions in which they differ and along all others."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, TRAIN + TEST)
    clumps = rng.normal(size=(CLASSES, 3, 24))
    inner = clumps[labels, rng.integers(0, 3, len(labels))] + rng.normal(size=(len(labels), 24)) * 1.1
    outer = np.maximum(inner @ rng.normal(size=(24, WIDTH)), 0) + rng.normal(size=(len(labels), WIDTH))
    return outer.astype(np.float32), labels


def knn(features: NDArray[Any], labels: NDArray[Any], rounds: int) -> dict[str, Any]:
    """Seconds of both, interleaved, and how many answers agree."""
    from lightly.utils.benchmarking import knn_predict as peers

    normal = F.normalize(torch.from_numpy(features), dim=1)
    bank, targets = normal[:TRAIN].T.contiguous(), torch.from_numpy(labels[:TRAIN])
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(rounds):
        began = time.perf_counter()
        said = knn_predict(features[:TRAIN], labels[:TRAIN], features[TRAIN:], CLASSES, NEIGHBOURS)
        seconds["ours"].append(time.perf_counter() - began)
        began = time.perf_counter()
        # As its kNN classifier does: a batch of 256 at a time.
        parts = [peers(part, bank, targets, CLASSES, NEIGHBOURS, 0.1)[:, 0] for part in normal[TRAIN:].split(256)]
        theirs = torch.cat(parts).numpy()
        seconds["peer"].append(time.perf_counter() - began)
    return {
        "ratio": round(statistics.median(b / a for a, b in zip(*seconds.values())), 2),
        "equal_answers": float((said == theirs).mean()),
        "accuracy": float((said == labels[TRAIN:]).mean()),
        "seconds": seconds,
    }


def linear(features: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """Seconds and accuracy of our probe, and of scikit-learn's every fit to the end."""
    learnt, asked = np.arange(TRAIN), np.arange(TRAIN, TRAIN + TEST)
    began = time.perf_counter()
    said, choice, found = linear_predict(Shown({"own": features}, learnt), labels[:TRAIN], learnt, asked, 0)
    ours: dict[str, Any] = {"seconds": time.perf_counter() - began, "accuracy": float((said == labels[TRAIN:]).mean())}
    ours |= {"C": choice.strength, "whitened": choice.whitened}
    ours |= {"iterations": found.iterations, "converged": found.converged}
    scaled = standardised(features, learnt)
    train, test = scaled[:TRAIN], scaled[TRAIN:]
    fits = {}
    for strength in STRENGTHS:
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=strength, max_iter=1000).fit(train, labels[:TRAIN])
        accuracy = float((model.predict(test) == labels[TRAIN:]).mean())
        fits[str(strength)] = {"seconds": time.perf_counter() - began, "accuracy": accuracy}
    best = max(fit["accuracy"] for fit in fits.values())
    return {"ours": ours, "below_best": round(best - ours["accuracy"], 5), "scikit-learn": fits}


if __name__ == "__main__":
    main()
