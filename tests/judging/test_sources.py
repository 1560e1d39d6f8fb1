"""What is fitted before a probe is, is fitted on the training part alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selftaught.data.images.samples import open_samples
from selftaught.judging.baselines import untrained
from selftaught.judging.opening import open_labelled
from selftaught.judging.sources import Sources, sources
from selftaught.run.recipes import Evaluate
from selftaught.system.components import Part
from tests.judging.test_evaluate import stripes

TAKES = ("features", "standardised", "shown", "tokens", "encoder")
PART = np.arange(30)  # of 40 samples; the others are judged


def shown(folder: Path, judged: int) -> dict[str, Sources]:
    """Sources of 40 samples, of which those that are judged are multiplied by a number."""
    file = stripes(folder / f"{judged}.npz", 40, 0)
    held = dict(np.load(file))
    held["x"][30:] //= judged
    np.savez(file, **held)
    preparation = open_samples(stripes(folder / "like.npz", 40, 0)).preparation
    data = open_labelled(Evaluate.parse({"run": "x", "train": str(file)}), preparation)
    encoders = {kind: untrained(Part(name="test_resnet"), preparation, 0) for kind in ("trained", "untrained")}
    return sources(encoders, {"trained": data}, 0, set(TAKES), ("own",))


def rows(takes: str, made: Any, part: np.ndarray) -> np.ndarray:
    """What is shown of the samples of a part, as numbers."""
    if takes == "encoder":
        return np.concatenate([norm.flatten().numpy() for name, norm in made.state_dict().items() if "running" in name])
    if takes == "tokens":
        return ((made.values - made.mean) / made.deviation)[part].numpy()
    held = next(iter(made.values())).z if takes == "shown" else made
    return np.asarray(held)[part]


@pytest.mark.parametrize("takes", TAKES)
@pytest.mark.parametrize("kind", ["untrained", "pixels"])
def test_nothing_of_a_fold_is_seen_before_it_is_judged(takes: str, kind: str, tmp_path: Path) -> None:
    if (takes, kind) == ("encoder", "pixels"):
        pytest.skip("raw pixels are no network")
    one, other = (shown(tmp_path, judged)[takes][kind] for judged in (1, 4))
    assert np.allclose(rows(takes, one(PART), PART), rows(takes, other(PART), PART), atol=1e-6)
    if kind == "untrained" or takes != "tokens":
        everything = np.arange(40)  # in which the others are: what is fitted tells them
        assert not np.allclose(rows(takes, one(everything), PART), rows(takes, other(everything), PART), atol=1e-6)
