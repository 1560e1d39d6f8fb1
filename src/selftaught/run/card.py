"""The README.md of what is exported: how to load it without this package, and what it was made of."""

from collections.abc import Sequence
from typing import Any

import yaml
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, Origin
from selftaught.contracts.samples import Preparation
from selftaught.run.meaning import OUTPUTS, Meaning

LOADING = 'net.load_state_dict(load_file("model.safetensors"))'


def encoder_card(encoder: Encoder, preparation: Preparation, about: dict[str, Any]) -> str:
    """The page of an encoder; `about` is what else is known of how it was made."""
    origin, kind = encoder.origin, modality.named(preparation.modality)
    code = [*_imports(origin), "", *_network(encoder)]
    if origin.library != "selftaught":  # whose own function loads the weights as well
        code.append(LOADING)
    if origin.features and origin.library != "own":
        code.append(f"features = lambda x: {origin.features}")
    page = _page(
        "A self-taught encoder",
        f"selftaught from unlabelled {kind.THINGS}",
        f"Gives {encoder.dim} features. {preparation.recipe()}",
        [*code, "net.eval()"],
        library="timm" if origin.timm_alone else "pytorch",
        tags=["self-supervised-learning", kind.task("feature-extraction"), str(about.get("method", ""))],
        about=about,
    )
    if not origin.timm_alone:
        return page
    return (
        f"{page}\nOr in one line, from the folder that holds this one:\n\n```python\n"
        'net = timm.create_model("local-dir:encoder", pretrained=True, num_classes=0)\n```\n'
        "\nWith `num_classes=7` it gets a new head for seven classes, to be trained; `in_chans` takes other channels.\n"
    )


def classifier_card(encoder: Encoder, outputs: int, meaning: Meaning, in_timm: bool, about: dict[str, Any]) -> str:
    """The page of an encoder with a head of so many outputs; `in_timm` says that timm makes the two in one."""
    preparation, kind = encoder.preparation, modality.named(encoder.preparation.modality)
    answers = OUTPUTS[meaning.task]
    if in_timm:
        code = [
            "import timm",
            "",
            "# from the folder that holds this one",
            'net = timm.create_model("local-dir:classifier", pretrained=True).eval()',
            f"{answers} = lambda x: net(x){meaning.formula}",
        ]
    elif encoder.origin.library == "selftaught":
        code = ["import selftaught", "", f'{answers} = selftaught.load_classifier(".")']
    else:
        code = [
            *_imports(encoder.origin),
            "",
            *_network(encoder),
            f"head = torch.nn.Linear({encoder.dim}, {outputs})",
            'for prefix, part in {"net.": net, "head.": head}.items():',
            '    weights = load_file("model.safetensors").items()',
            "    part.load_state_dict({k.removeprefix(prefix): w for k, w in weights if k.startswith(prefix)})",
            "    part.eval()",
            f"features = lambda x: {encoder.origin.features or 'net(x)'}",
            f"{answers} = lambda x: head(features(x)){meaning.formula}",
        ]
    says, sure = _said(outputs, meaning)
    number = meaning.task == "number"
    return _page(
        f"Says a number of {kind.THINGS}" if number else f"A classifier of {kind.THINGS}",
        "selftaught",
        f"{says} {preparation.recipe()}\n\n{sure}",
        code,
        library="timm" if in_timm else "pytorch",
        tags=[kind.task("regression" if number else "classification")],
        about=about,
    )


def _said(outputs: int, meaning: Meaning) -> tuple[str, str]:
    """What a classifier says, and how sure it is."""
    divided = "Scores are divided by a temperature, so that a probability says how often"
    order = "`label_names` in config.json says in which order."
    if meaning.task == "several":
        chosen = "`selftaught.thresholds` there has the probability from which on each is said."
        return (
            f"Says which of {outputs} labels a sample has, any number of them; {order}",
            f"{divided} it is so. {chosen}",
        )
    if meaning.task == "classes":
        return f"Tells {outputs} classes apart; {order}", f"{divided} the answer is right."
    within = "It is not known how far off it is."
    if meaning.margin is not None:
        within = f"Of held-out samples 95 % were no further off than {meaning.margin:.6g}, `selftaught.margin` there."
    scale = "`selftaught.mean` and `selftaught.deviation` in config.json undo what scores are standardised by."
    return f"Says a number. {scale}", within


def _page(
    title: str, maker: str, text: str, code: Sequence[str], *, library: str, tags: list[str], about: dict[str, Any]
) -> str:
    """Markdown behind the block of YAML by which the Hub files a model."""
    head = yaml.safe_dump({"library_name": library, "tags": tags}, sort_keys=False)
    known = ", ".join(f"{key}: {value}" for key, value in about.items())
    block = "\n".join(code)
    return (
        f"---\n{head}---\n# {title}\n\nMade by {maker} ({known}).\n\n{text}\n\n## Load it\n\n```python\n{block}\n```\n"
    )


def _imports(origin: Origin) -> list[str]:
    if origin.library == "selftaught":
        return ["import selftaught"]
    own = [f"import {origin.library}"] if origin.library in ("timm", "torchvision") else []
    return [*own, "import torch", "from safetensors.torch import load_file"]


def _network(encoder: Encoder) -> list[str]:
    """Plain Python that builds the network, without its weights where this package is not needed."""
    origin = encoder.origin
    if origin.library == "own":
        return ["net = ...  # your own network"]
    if origin.library == "selftaught":
        return ['net = selftaught.load_encoder(".")']
    if origin.library == "torchvision":
        lines = [f'net = torchvision.models.get_model("{origin.name}", weights=None)']
        head = next(name for name in ("fc", "classifier", "heads", "head") if hasattr(encoder.net, name))
        last = f"net.{head}" if isinstance(getattr(encoder.net, head), nn.Identity) else f"net.{head}[-1]"
        lines.append(f"{last} = torch.nn.Identity()")
    else:
        arguments = "".join(f", {key}={value!r}" for key, value in origin.arguments.items())
        lines = [f'net = timm.create_model("{origin.name}", num_classes=0{arguments})']
    return [*lines, *_small_stem(encoder)] if origin.small_stem else lines


def _small_stem(encoder: Encoder) -> list[str]:
    """What was done to the stem of a ResNet, which no argument of its library expresses."""
    first = encoder.net.get_submodule("conv1")
    if isinstance(first, nn.Conv2d):
        shape = f"{first.in_channels}, {first.out_channels}, 3, {first.stride[0]}, 1, bias=False"
        stem = f"net.conv1 = torch.nn.Conv2d({shape})"
    else:  # the deep stems of timm's variants keep their layers
        assert isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d)
        stem = f"net.conv1[0].stride = {first[0].stride}"
    return [stem, "net.maxpool = torch.nn.Identity()"]
