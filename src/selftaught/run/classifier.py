"""A classifier on disk, in timm's and the Hub's layout: an encoder, its head, and what their scores mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.run.card import classifier_card
from selftaught.run.export import (
    config_of,
    described_encoder,
    encoder_config,
    part_of_run,
    weights_in,
    write_model,
)
from selftaught.run.layout import is_classifier
from selftaught.run.meaning import Meaning
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

AGREES = 1e-4  # largest difference of scores at which timm's network counts as the same
BARE = ("net.", "head.")  # of the weights' names, where timm has no such network


class Calibrated(nn.Module):
    """Samples to the probability of each class or label (B, classes); of one that says numbers, to these (B,)."""

    def __init__(self, encoder: Encoder, head: nn.Linear, meaning: Meaning, classes: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.head, self.meaning, self.classes = encoder, head, meaning, list(classes)
        self.preparation: Any = encoder.preparation

    @property
    def task(self) -> str:
        """Whether it says of a sample one of several `classes`, several labels, or a number."""
        return self.meaning.task

    @property
    def temperature(self) -> float:
        """What scores are divided by, to be as sure as they are right."""
        return self.meaning.temperature

    def scores(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities, not calibrated, or a standardised number: (B, outputs)."""
        return self.head(self.encoder(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.meaning.answers(self.scores(x))


def save_classifier(classifier: Calibrated, folder: Path, about: dict[str, Any]) -> None:
    """Write a classifier into `folder`; `about` is what else is known of how it was made."""
    classifier = classifier.cpu().eval()
    encoder, head = classifier.encoder, classifier.head
    prefixes = _timm_prefixes(classifier)
    to_net, to_head = prefixes or BARE
    weights = {to_net + name: value for name, value in encoder.net.state_dict().items()}
    weights |= {to_head + name: value for name, value in head.state_dict().items()}
    config = encoder_config(encoder, encoder.part, encoder.preparation, about)
    count, meaning = head.out_features, classifier.meaning
    config |= {"num_classes": count, "label_names": classifier.classes}
    config["pretrained_cfg"] |= {"num_classes": count, "classifier": to_head.removesuffix(".")}
    config["selftaught"] |= {"prefixes": [to_net, to_head], **meaning.told()}
    if not prefixes and encoder.origin.timm_alone:  # timm knows the encoder, but has another head
        config["architecture"] = f"selftaught_classifier_{encoder.origin.name}"
    card = classifier_card(encoder, count, meaning, prefixes is not None, about)
    write_model(folder, weights, config, card, encoder.preparation)


def _timm_prefixes(classifier: Calibrated) -> tuple[str, str] | None:
    """What timm calls the weights of encoder and head, where it makes the very same classifier of its arguments."""
    encoder, head = classifier.encoder, classifier.head
    if not encoder.origin.timm_alone:
        return None
    count = head.out_features
    net: Any = timm.create_model(encoder.origin.name, num_classes=count, **encoder.origin.arguments).eval()
    name = net.pretrained_cfg.get("classifier")
    if not isinstance(name, str):
        return None
    weights = {**encoder.net.state_dict(), **{f"{name}.{key}": value for key, value in head.state_dict().items()}}
    x = torch.randn(2, *encoder.preparation.shape, generator=torch.Generator().manual_seed(0))
    try:
        net.load_state_dict(weights)
        with torch.no_grad():
            same = torch.allclose(net(x), classifier.scores(x), atol=AGREES, rtol=AGREES)
    except RuntimeError:
        return None
    return ("", f"{name}.") if same else None


def load_classifier(folder: str | Path, module: nn.Module | None = None) -> Calibrated:
    """The classifier of a folder that `finetune` made, in eval mode; `module` is the user's own network, if it has one.

    Raises UsageError.
    """
    folder = _place_of(folder)
    encoder, about = described_encoder(folder, module)
    try:
        classes = [str(name) for name in config_of(folder)["label_names"]]
        (to_net, to_head), meaning = map(str, about["prefixes"]), Meaning.of(about)
        if not meaning.fits(len(classes)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise _foreign(folder) from None
    head = nn.Linear(encoder.dim, len(classes) or 1)
    with weights_in(folder, "classifier") as weights:
        head.load_state_dict({name: weights.pop(to_head + name) for name in ("weight", "bias")})
        encoder.net.load_state_dict({name.removeprefix(to_net): value for name, value in weights.items()})
    return Calibrated(encoder, head, meaning, classes).eval()


def meaning_of(folder: str | Path) -> Meaning:
    """What the scores of the classifier of a folder mean, without its weights. Raises UsageError."""
    folder = _place_of(folder)
    try:
        return Meaning.of(config_of(folder)["selftaught"])
    except (KeyError, TypeError, ValueError):
        raise _foreign(folder) from None


def _place_of(folder: str | Path) -> Path:
    """The folder that holds the files of a classifier."""
    place = part_of_run(Path(folder), "classifier") if is_classifier(Path(folder)) else Path(folder)
    if not (place / "config.json").exists():
        raise UsageError(f"{printable(place)} holds no classifier (no config.json); `selftaught finetune` makes one")
    return place


def _foreign(folder: Path) -> UsageError:
    return UsageError(f"{printable(folder / 'config.json')} does not describe a classifier of selftaught's")
