"""What does the linear probe make of features of different kinds? As it was, converged, whitened, and as it chooses.

4,000 training and 4,000 test images; an untrained vision transformer, a small MAE run of it if one is named, an
untrained ResNet-18 and raw pixels. Writes docs/results/probe.json.

    python bench/probe.py --data cifar10.zip [--run RUN]
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from selftaught.contracts.encoder import Encoder
from selftaught.data.images.samples import open_samples
from selftaught.judging.baselines import Pixels, standardised, untrained
from selftaught.judging.probes.linear import linear_predict
from selftaught.judging.shown import Shown, taken
from selftaught.run.export import load_encoder
from selftaught.system.components import Part
from selftaught.training.looking.features import estimate_norms

RESULT = Path(__file__).parent.parent / "docs/results/probe.json"
COUNT = 4000
BEFORE = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # the grid that there was, with 200 iterations each
NETWORKS = {
    "untrained ViT": Part(name="vit_tiny_patch16_224", options={"depth": 4, "patch": 4, "width": 128}),
    "untrained ResNet-18": Part(name="resnet18", options={"stem": "half"}),
}

Array = NDArray[Any]
Rows = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--run", help="a run folder, to be judged as well")
    asked = parser.parse_args()
    encoders: dict[str, Encoder] = {asked.run: load_encoder(asked.run)} if asked.run else {}
    like = {"like": encoders[asked.run].preparation} if asked.run else {}
    train = open_samples(f"{asked.data}/train", labelled=True, limit=COUNT, **like)
    test = open_samples(f"{asked.data}/test", labelled=True, limit=COUNT, like=train.preparation)
    labels = np.unique([*(train.labels or []), *(test.labels or [])], return_inverse=True)[1]
    encoders |= {name: estimate_norms(untrained(part, train.preparation, 0), train) for name, part in NETWORKS.items()}
    rows = np.arange(train.count)
    pixels = Pixels(train, 0)
    result = {"raw pixels": judged({"pixels": np.concatenate([pixels(train), pixels(test)])}, rows, labels, False)}
    for name, encoder in encoders.items():
        features = taken(encoder, [train, test], (), lambda done: None, len(labels))
        result[name if name in NETWORKS else "pre-trained"] = judged(features, rows, labels, True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(RESULT.read_text())


def judged(features: dict[str, Array], rows: Rows, labels: Rows, scaled: bool) -> dict[str, Any]:
    """Accuracies by the probe that there was, and by that of today: with each kind of features, and as it chooses."""
    own = next(iter(features.values()))
    told: dict[str, Any] = {"before": before(standardised(own, rows) if scaled else own, rows, labels)}
    for name in features:
        told[name] = today({name: features[name]}, rows, labels, scaled)
    return told | {"auto": today(features, rows, labels, scaled)}


def before(features: Array, rows: Rows, labels: Rows) -> dict[str, Any]:
    """Scikit-learn's of 200 iterations from the weakest of five strengths on, as the probe was."""
    learnt, held = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(rows, labels[rows]))
    model, right = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for strength in BEFORE:
            fitted = model.set_params(C=strength).fit(features[learnt], labels[learnt])
            right.append(fitted.score(features[held], labels[held]))
        best = BEFORE[int(np.argmax(right))]
        model = LogisticRegression(C=best, max_iter=200, tol=1e-3).fit(features[rows], labels[rows])
    accuracy = model.score(features[len(rows) :], labels[len(rows) :])
    return {"accuracy": round(accuracy, 4), "C": best, "iterations": int(model.n_iter_[0])}


def today(features: dict[str, Array], rows: Rows, labels: Rows, scaled: bool) -> dict[str, Any]:
    """The probe's accuracy and what it chose."""
    began, asked = time.perf_counter(), np.arange(len(rows), len(labels))
    said, choice, found = linear_predict(Shown(features, rows, scaled), labels[rows], rows, asked, 0)
    return {
        "accuracy": round(float((said == labels[asked]).mean()), 4),
        "features": choice.features,
        "whitened": choice.whitened,
        "C": choice.strength,
        "iterations": found.iterations,
        "converged": found.converged,
        "seconds": round(time.perf_counter() - began, 2),
    }


if __name__ == "__main__":
    main()
