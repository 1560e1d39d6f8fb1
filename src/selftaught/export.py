"""An encoder on disk, in timm's and the Hub's layout: loadable without this package."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from . import modality
from .encoder import Encoder, Origin
from .errors import UsageError
from .files import temporary_for, write_together
from .modality import Preparation
from .parts import Part
from .progress import plain
from .training.interruption import poll

TOLERANCE = 1e-4  # largest deviation of an ONNX file's outputs, relative to the features' own spread


def save_encoder(encoder: Encoder, part: Part, preparation: Preparation, folder: Path, about: dict[str, Any]) -> None:
    """Write model.safetensors, config.json and README.md into `folder`; none is replaced before all are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    net, origin = encoder.net, encoder.origin
    weights = each_its_own(net.state_dict())
    config = json.dumps(encoder_config(encoder, part, preparation, about), indent=2, ensure_ascii=False)
    write_together(
        folder,
        {
            "model.safetensors": save(weights, metadata={"format": "pt"}),
            "config.json": config + "\n",
            "README.md": _card(encoder, preparation, origin, about),
        },
    )


def each_its_own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as safetensors takes them: where a layer has several names, all of them are written, so that anybody
    can load them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, weight in weights.items():
        kept = weight.detach().cpu().contiguous()
        place = kept.untyped_storage().data_ptr()
        found[name] = kept.clone() if place in seen else kept
        seen.add(place)
    return found


def encoder_config(encoder: Encoder, part: Part, preparation: Preparation, about: dict[str, Any]) -> dict[str, Any]:
    """What config.json says: how timm, where it can, and this package rebuild the network."""
    origin = encoder.origin
    name = origin.name
    if not origin.plain:
        # timm must refuse what it would otherwise load into another network and compute other features with.
        name = (
            f"selftaught_{origin.library}_{name}" + "_small_stem" * origin.small_stem + "_grid" * bool(origin.features)
        )
    return {
        "architecture": name,
        "num_classes": 0,
        "num_features": encoder.dim,
        "global_pool": origin.arguments.get("global_pool", "avg"),
        "model_args": origin.arguments,
        "pretrained_cfg": {
            "input_size": list(preparation.shape),
            "mean": list(preparation.mean),
            "std": list(preparation.std),
            "num_classes": 0,
            **({"interpolation": "bilinear", "crop_pct": 1.0} if preparation.modality == "images" else {}),
        },
        "selftaught": {
            "modality": preparation.modality,
            "encoder": part.model_dump(mode="json"),
            "preparation": preparation.model_dump(mode="json"),
            **about,
        },
    }


def load_encoder(folder: str | Path, module: nn.Module | None = None) -> Encoder:
    """The encoder of a run (or of its encoder/ folder), in eval mode, with `preparation` and `part` on it.

    `module` is the user's own network where the run was trained with one.
    """
    folder = Path(folder)
    if (folder / "encoder").is_dir():
        folder = folder / "encoder"
    told = encoder_about(folder)
    try:
        kind = modality.named(told["modality"])
        part, preparation = Part(**told["encoder"]), kind.Preparation(**told["preparation"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{plain(str(folder / 'config.json'))} was not written by selftaught") from None
    if part.name == "own" and module is None:
        raise UsageError(f"{plain(str(folder))} holds the weights of your own network: pass it again, as module=...")
    encoder: Encoder = kind.build_encoder(part, preparation, module)
    try:
        encoder.net.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = plain(str(error).splitlines()[0])
        raise UsageError(f"{plain(str(folder / 'model.safetensors'))} is not this encoder's: {reason}") from None
    encoder.preparation, encoder.part = preparation, part
    return encoder.eval()


def encoder_about(folder: Path) -> dict[str, Any]:
    """What config.json says of how an encoder was made."""
    file = folder / "config.json"
    if not file.exists():
        raise UsageError(f"{plain(str(folder))} holds no encoder yet (no config.json)")
    try:
        return dict(json.loads(file.read_text())["selftaught"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{plain(str(file))} was not written by selftaught") from None


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


def _card(encoder: Encoder, preparation: Preparation, origin: Origin, about: dict[str, Any]) -> str:
    task = "image-feature-extraction" if preparation.modality == "images" else "tabular-feature-extraction"
    head = yaml.safe_dump(
        {
            "library_name": "timm" if origin.plain else "pytorch",
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
    if origin.plain:
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


def to_onnx(encoder: nn.Module, file: Path, output: str = "features") -> float:
    """Write an encoder, or a classifier, as ONNX with a free batch size; the largest deviation of its outputs.

    It has the preparation of its samples on it; `output` is what its outputs are called.

    The file only appears once its outputs agree with the network's on random inputs of two batch sizes.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it, and says so less clearly
    except ImportError:
        raise UsageError("export to ONNX needs more packages: pip install 'selftaught[export]'") from None
    preparation: Any = encoder.preparation
    things = modality.named(preparation.modality).THINGS
    encoder = encoder.cpu().eval()
    draws = torch.Generator().manual_seed(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_for(file)
    try:
        with torch.no_grad():
            torch.onnx.export(
                encoder,
                (torch.randn(2, *preparation.shape, generator=draws),),
                temporary,
                dynamo=True,
                external_data=False,
                input_names=[things],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
        poll()
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        deviation = 0.0
        for batch in (1, 5):
            drawn = torch.randn(batch, *preparation.shape, generator=draws)
            with torch.no_grad():
                expected = encoder(drawn)
            (found,) = session.run(None, {things: drawn.numpy()})
            spread = expected.abs().max().clamp(min=1e-6)
            found_here = float((torch.from_numpy(found) - expected).abs().max() / spread)
            deviation = max(deviation, found_here if math.isfinite(found_here) else math.inf)
        if deviation > TOLERANCE:
            raise UsageError(f"the ONNX file's outputs differ by {deviation:.2g} of the features' range; not written")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return deviation
