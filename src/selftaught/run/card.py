"""How to load an encoder without this package, as plain Python and as a page."""

from typing import Any

import yaml
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, Origin
from selftaught.contracts.modality import Preparation


def rebuilding_lines(encoder: Encoder) -> list[str]:
    """Plain Python that rebuilds the network from model.safetensors, without this package."""
    origin = encoder.origin
    load = 'net.load_state_dict(load_file("model.safetensors"))'
    if origin.library == "own":
        return ["net = ...  # your own network", load]
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
    if origin.small_stem:
        first = encoder.net.get_submodule("conv1")
        if isinstance(first, nn.Conv2d):
            shape = f"{first.in_channels}, {first.out_channels}, 3, {first.stride[0]}, 1, bias=False"
            stem = f"net.conv1 = torch.nn.Conv2d({shape})"
        else:
            assert isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d)
            stem = f"net.conv1[0].stride = {first[0].stride}"
        lines += [stem, "net.maxpool = torch.nn.Identity()"]
    return [*lines, load, *([f"features = lambda x: {origin.features}"] if origin.features else [])]


def encoder_card(encoder: Encoder, preparation: Preparation, origin: Origin, about: dict[str, Any]) -> str:
    task = "image-feature-extraction" if preparation.modality == "images" else "tabular-feature-extraction"
    head = yaml.safe_dump(
        {
            "library_name": "timm" if origin.timm_alone else "pytorch",
            "tags": ["self-supervised-learning", task, str(about.get("method", ""))],
        },
        sort_keys=False,
    )
    imports = {"timm": ["import timm"], "torchvision": ["import torchvision"]}.get(origin.library, [])
    imports = [*imports, "import torch", "from safetensors.torch import load_file"]
    if origin.library == "selftaught":
        imports = ["import selftaught"]
    block = "\n".join([*imports, "", *rebuilding_lines(encoder)])
    direct = ""
    if origin.timm_alone:
        direct = (
            "\nOr in one line, from the folder that holds this one:\n\n```python\n"
            'net = timm.create_model("local-dir:encoder", pretrained=True, num_classes=0)\n```\n'
        )
    things = modality.named(preparation.modality).THINGS
    made = ", ".join(f"{key}: {value}" for key, value in about.items())
    return (
        f"---\n{head}---\n# A self-taught encoder\n\nMade by selftaught from unlabelled {things} ({made}).\n\n"
        f"Gives {encoder.dim} features. {preparation.recipe()}\n\n"
        f"## Load it\n\n```python\n{block}\nnet.eval()\n```\n{direct}"
    )
