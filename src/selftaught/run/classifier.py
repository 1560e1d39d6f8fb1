"""A classifier on disk, in timm's and the Hub's layout: an encoder, its head, and how sure it may be."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.run.card import rebuilding_lines
from selftaught.run.export import each_its_own, encoder_about, encoder_config
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.files import write_together
from selftaught.system.text import printable

AGREES = 1e-4  # largest difference of scores at which timm's network counts as the same
BARE = ("net.", "head.")  # of the weights' names, where timm has no such network


class Calibrated(nn.Module):
    """Samples to the probability of each class: (B, classes)."""

    def __init__(self, encoder: Encoder, head: nn.Linear, temperature: float, classes: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.head, self.temperature, self.classes = encoder, head, temperature, list(classes)
        self.preparation: Any = encoder.preparation

    def scores(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities (B, classes), not calibrated."""
        return self.head(self.encoder(x))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.scores(x) / self.temperature, dim=1)


def save_classifier(classifier: Calibrated, folder: Path, about: dict[str, Any]) -> None:
    """Write model.safetensors, config.json and README.md into `folder`; none is replaced before all are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    classifier = classifier.cpu().eval()
    encoder, head = classifier.encoder, classifier.head
    prefixes = _timm_prefixes(classifier)
    to_net, to_head = prefixes or BARE
    weights = {to_net + name: value for name, value in encoder.net.state_dict().items()}
    weights |= {to_head + name: value for name, value in head.state_dict().items()}
    config = encoder_config(encoder, encoder.part, encoder.preparation, about)
    count = len(classifier.classes)
    config |= {"num_classes": count, "label_names": classifier.classes}
    config["pretrained_cfg"] |= {"num_classes": count, "classifier": to_head.removesuffix(".")}
    config["selftaught"] |= {"prefixes": [to_net, to_head], "temperature": classifier.temperature}
    if not prefixes and encoder.origin.timm_alone:  # timm knows the encoder, but has another head
        config["architecture"] = f"selftaught_classifier_{encoder.origin.name}"
    write_together(
        folder,
        {
            "model.safetensors": save(each_its_own(weights), {"format": "pt"}),
            "config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
            "README.md": _card(classifier, prefixes is not None, about),
        },
    )


def _timm_prefixes(classifier: Calibrated) -> tuple[str, str] | None:
    """What timm calls the weights of encoder and head, where it makes the very same classifier, told the arguments."""
    encoder, head = classifier.encoder, classifier.head
    if not encoder.origin.timm_alone:
        return None
    count = len(classifier.classes)
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
    folder = Path(folder)
    if (folder / "classifier").is_dir():
        folder = folder / "classifier"
    if not (folder / "config.json").exists():
        raise UsageError(
            f"{printable(str(folder))} holds no classifier (no config.json); `selftaught finetune` makes one"
        )
    told = encoder_about(folder)
    shown = printable(str(folder / "config.json"))
    try:
        kind = modality.named(told["modality"])
        part, preparation = Part(**told["encoder"]), kind.Preparation(**told["preparation"])
        classes = [str(name) for name in json.loads((folder / "config.json").read_text())["label_names"]]
        (to_net, to_head), temperature = map(str, told["prefixes"]), float(told["temperature"])
        if not temperature > 0:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{shown} does not describe a classifier of selftaught's") from None
    if part.name == "own" and module is None:
        raise UsageError(
            f"{printable(str(folder))} holds the weights of your own network: pass it again, as module=..."
        )
    encoder: Encoder = kind.build_encoder(part, preparation, module)
    encoder.preparation, encoder.part = preparation, part
    head = nn.Linear(encoder.dim, len(classes))
    try:
        held = load_file(folder / "model.safetensors")
        ends = {name: held.pop(to_head + name) for name in ("weight", "bias")}
        head.load_state_dict(ends)
        encoder.net.load_state_dict({name.removeprefix(to_net): value for name, value in held.items()})
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        reason = printable(str(error).splitlines()[0])
        raise UsageError(f"{printable(str(folder / 'model.safetensors'))} is not this classifier's: {reason}") from None
    return Calibrated(encoder, head, temperature, classes).eval()


def _card(classifier: Calibrated, in_timm: bool, about: dict[str, Any]) -> str:
    """How to load it without this package, and what to do to a sample."""
    encoder = classifier.encoder
    library = encoder.origin.library
    things = modality.named(encoder.preparation.modality).THINGS
    count = len(classifier.classes)
    certain = f".div({classifier.temperature!r}).softmax(dim=1)"
    if in_timm:
        lines = [
            "import timm",
            "",
            "# from the folder that holds this one",
            'net = timm.create_model("local-dir:classifier", pretrained=True).eval()',
            f"probabilities = lambda x: net(x){certain}",
        ]
    elif library == "selftaught":
        lines = ["from selftaught.classifier import load_classifier", "", 'probabilities = load_classifier(".")']
    else:
        *rebuild, _ = [line for line in rebuilding_lines(encoder) if not line.startswith("features = ")]
        imports = {"timm": ["import timm"], "torchvision": ["import torchvision"]}.get(library, [])
        lines = [
            *imports,
            "import torch",
            "from safetensors.torch import load_file",
            "",
            *rebuild,
            f"head = torch.nn.Linear({encoder.dim}, {count})",
            'for prefix, part in {"net.": net, "head.": head}.items():',
            '    weights = load_file("model.safetensors").items()',
            "    part.load_state_dict({k.removeprefix(prefix): w for k, w in weights if k.startswith(prefix)})",
            "    part.eval()",
            f"features = lambda x: {encoder.origin.features or 'net(x)'}",
            f"probabilities = lambda x: head(features(x)){certain}",
        ]
    made = ", ".join(f"{key}: {value}" for key, value in about.items())
    block = "\n".join(lines)
    tag = "image-classification" if encoder.preparation.modality == "images" else "tabular-classification"
    return (
        f"---\nlibrary_name: {'timm' if in_timm else 'pytorch'}\ntags:\n- {tag}\n---\n"
        f"# A classifier of {things}\n\nMade by selftaught ({made}).\n\n"
        f"Tells {count} classes apart; `label_names` in config.json says in which order. "
        f"{encoder.preparation.recipe()}\n\n"
        "Scores are divided by a temperature, so that a probability says how often the answer is right.\n\n"
        f"## Load it\n\n```python\n{block}\n```\n"
    )
