"""An encoder on disk, in timm's and the Hub's layout: loadable without this package."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder
from selftaught.contracts.samples import Preparation
from selftaught.run.card import encoder_card
from selftaught.run.layout import EXPORTED, FOLDERS, MODEL, no_pretraining, refuse_classifier
from selftaught.run.records import Config
from selftaught.run.rows import whole
from selftaught.run.standing import cut_short
from selftaught.system.arrays import refuse_odd_weights
from selftaught.system.bombs import HARMLESS, HONEST
from selftaught.system.components import Part, place_and_problem
from selftaught.system.errors import UsageError
from selftaught.system.files import write_together
from selftaught.system.ownership import refuse_odd
from selftaught.system.reading import json_in
from selftaught.system.saying import say
from selftaught.system.text import filesize, printable

Packed = Mapping[str, str | bytes]  # files by name


def save_encoder(encoder: Encoder, part: Part, preparation: Preparation, folder: Path, about: dict[str, Any]) -> None:
    """Write an encoder into `folder`; `about` is what else is known of how it was made."""
    write_packed(folder, packed_encoder(encoder, part, preparation, about))


def packed_encoder(encoder: Encoder, part: Part, preparation: Preparation, about: dict[str, Any]) -> Packed:
    """The files of an encoder as it is at this moment, which may be written later."""
    config = encoder_config(encoder, part, preparation, about)
    model = packed(merged(encoder.net), config, encoder_card(encoder, preparation, about))
    return {**model, **modality.named(preparation.modality).beside(preparation)}


def merged(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights by their own names, those that are made of several, as low ranks are added, made one."""
    held = {name: value for name, value in net.state_dict().items() if ".parametrizations." not in f".{name}"}
    for name, layer in net.named_modules():
        if parametrize.is_parametrized(layer):
            held |= {f"{name}.{own}".lstrip("."): getattr(layer, own) for own in layer.parametrizations}
    return held


def write_model(
    folder: Path, weights: Mapping[str, Tensor], config: dict[str, Any], card: str, preparation: Preparation
) -> None:
    """Write model.safetensors, config.json and README.md into `folder`, and what samples need beside them.

    None is replaced before all are on the disk.
    """
    beside = modality.named(preparation.modality).beside(preparation)
    write_packed(folder, {**packed(weights, config, card), **beside})


def packed(weights: Mapping[str, Tensor], config: dict[str, Any], card: str) -> Packed:
    """What will be in model.safetensors, config.json and README.md."""
    model = save(_each_its_own(weights), metadata={"format": "pt"})
    described = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return dict(zip(MODEL, (model, described, card), strict=True))


def write_packed(folder: Path, files: Packed) -> None:
    """Write files into `folder`, which is made where there is none; none is replaced before all are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    write_together(folder, files)


def replaced_exports(folder: Path, files: Packed) -> list[Path]:
    """What `export` has written in other formats into `folder`, where the weights in `files` are not those there.

    Who takes them from there, as what is sent to the Hub does, would have them beside weights that they are not of.
    """
    exports = [folder / name for name in EXPORTED if (folder / name).is_file()]
    weights = folder / MODEL[0]
    return exports if exports and not (weights.is_file() and weights.read_bytes() == files[MODEL[0]]) else []


def holds_encoder(folder: Path, encoder: Encoder, preparation: Preparation, step: int) -> bool:
    """Whether all files of this encoder are in `folder`, as those of `step`.

    Buffers may be others: statistics of batch norm are measured for each export, and not by all versions alike.
    """
    buffers = {name for name, _ in encoder.net.named_buffers()}
    now = {name: weight for name, weight in _each_its_own(merged(encoder.net)).items() if name not in buffers}
    try:
        there = encoder_about(folder).get("step") == step
        with weights_in(folder, "encoder") as held:
            same = all(name in held and torch.equal(held[name], weight) for name, weight in now.items())
    except (UsageError, KeyError):
        return False
    names = (*MODEL, *modality.named(preparation.modality).beside(preparation))
    return there and same and all((folder / name).is_file() for name in names)


@contextmanager
def weights_in(folder: Path, owner: str) -> Iterator[dict[str, Tensor]]:
    """The weights in `folder`, for what is done with them: a usage error where they are not those of the owner."""
    file = folder / "model.safetensors"
    try:
        refuse_odd_weights(file, links=True)
        yield load_file(file)
    except PermissionError as error:
        raise UsageError(f"{printable(file)} cannot be read: {error.strerror}") from None
    except (OSError, RuntimeError, KeyError, ValueError, SafetensorError) as error:
        reason = printable(str(error).splitlines()[0])
        raise UsageError(f"{printable(file)} is not this {owner}'s: {reason}") from None


def _each_its_own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as safetensors takes them: where a layer has several names, all of them are written, so that anybody
    can load them."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, weight in weights.items():
        kept = whole(weight).detach().cpu().contiguous()
        place = kept.untyped_storage().data_ptr()
        own[name] = kept.clone() if place in seen else kept
        seen.add(place)
    return own


def encoder_config(encoder: Encoder, part: Part, preparation: Preparation, about: dict[str, Any]) -> dict[str, Any]:
    """What config.json says: how timm, where it can, and this package rebuild the network."""
    origin = encoder.origin
    name = origin.name
    if not origin.timm_alone:
        # timm must refuse what it would otherwise load into another network and compute other features with.
        own = "_filters" if origin.beside else "_grid" if origin.features else ""
        changes = "_small_stem" * origin.small_stem + own
        name = f"selftaught_{origin.library}_{name}{changes}"
    return {
        "architecture": name,
        "num_classes": 0,
        "num_features": encoder.dim + encoder.left_out,
        "global_pool": origin.arguments.get("global_pool", "avg"),
        "model_args": origin.arguments,
        "pretrained_cfg": {
            "input_size": list(preparation.shape),
            "mean": list(preparation.mean),
            "std": list(preparation.std),
            "num_classes": 0,
            **_ends(encoder),
            **modality.named(preparation.modality).TIMM,
        },
        "selftaught": {
            "modality": preparation.modality,
            "encoder": part.model_dump(mode="json"),
            "preparation": preparation.model_dump(mode="json"),
            **({"statistics": "init"} if encoder.keeps_statistics else {}),
            **about,
        },
    }


def _ends(encoder: Encoder) -> dict[str, Any]:
    """What timm calls the first and the last layer of its network: by that it gives it other channels or a new head."""
    known = encoder.net.pretrained_cfg if encoder.origin.library == "timm" else {}
    return {end: known[end] for end in ("first_conv", "classifier") if known.get(end)}


def load_encoder(folder: str | Path, module: nn.Module | None = None) -> Encoder:
    """The encoder of a run (or of its encoder/ folder), in eval mode, with `preparation` and `part` on it.

    `module` is the user's own network where the run was trained with one.
    """
    folder = Path(folder)
    refuse_classifier(folder)
    if (folder / "encoder").is_dir():
        folder = part_of_run(folder, "encoder")
    encoder, about = described_encoder(folder, module)
    if "prefixes" in about:  # by which a classifier tells its network's weights from its head's
        raise no_pretraining(folder)
    with weights_in(folder, "encoder") as weights:
        encoder.net.load_state_dict(weights)
    return encoder.eval()


def warn_of_cut(run: str | Path) -> None:
    """Say where the encoder of a run, which is about to be used, is not that of its last step."""
    with suppress(UsageError):  # the folder is that of an encoder alone
        step = encoder_about(Path(run) / "encoder").get("step")
        if line := cut_short(Path(run), step if isinstance(step, int) else None):
            say(f"warning: {line}")


def part_of_run(run: Path, name: str) -> Path:
    """The folder of a run that holds its encoder or classifier; a usage error where a link would lead out of it.

    A folder that the user names may well be one of links, such as the Hub's cache.
    """
    refuse_odd(run, {name: FOLDERS[name]})
    refuse_odd(run / name, dict.fromkeys(MODEL))
    return run / name


def described_encoder(folder: Path, module: nn.Module | None) -> tuple[Encoder, dict[str, Any]]:
    """The encoder that config.json describes, without the weights beside it, and what is said of how it was made."""
    about = encoder_about(folder)
    try:
        kind = modality.named(about["modality"])
        part = Part.model_validate(about["encoder"])
        preparation = kind.Preparation.model_validate(about["preparation"])
    except ValidationError as error:
        raise _foreign(folder, place_and_problem(error)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _foreign(folder, str(error)) from None
    if part.name == "own" and module is None:
        raise UsageError(f"{printable(folder)} holds the weights of your own network: pass it again, as module=...")
    if module is None:
        _refuse_larger(folder, kind, part, preparation)
    encoder = _built(folder, kind, part, preparation, module)
    encoder.preparation, encoder.part = preparation, part
    encoder.keeps_statistics = about.get("statistics") == "init"
    return encoder, about


def _built(
    folder: Path,
    kind: modality.Modality,
    part: Part,
    preparation: Preparation,
    module: nn.Module | None = None,
) -> Encoder:
    """The network of a description, whose faults are the file's and not the command's."""
    try:
        encoder: Encoder = kind.build_encoder(part, preparation, module)
    except UsageError as error:
        raise UsageError(f"{printable(folder / 'config.json')}: {error}") from None
    return encoder


def encoder_about(folder: Path) -> dict[str, Any]:
    """What config.json says of how an encoder was made."""
    return dict(config_of(folder)["selftaught"])


def config_of(folder: Path) -> dict[str, Any]:
    """The whole of config.json."""
    file = folder / "config.json"
    if not file.exists():
        raise UsageError(f"{printable(folder)} holds no encoder yet (no config.json)")
    try:
        held: dict[str, Any] = json_in(file, Config, links=True)
    except (OSError, ValueError) as error:
        raise _foreign(folder, str(error)) from None
    return held


def _foreign(folder: Path, reason: str) -> UsageError:
    shown = printable(folder / "config.json")
    return UsageError(f"{shown} was not written by selftaught, or was changed since: {printable(reason)}")


def _refuse_larger(folder: Path, kind: modality.Modality, part: Part, preparation: Preparation) -> None:
    """Refuse a network that the weights beside it cannot be those of, before it takes memory to say so."""
    with suppress(OSError), torch.device("meta"):
        stored = (folder / "model.safetensors").stat().st_size
        needed = sum(tensor.nbytes for tensor in _built(folder, kind, part, preparation).net.state_dict().values())
        if needed > HARMLESS + HONEST * stored:
            raise _foreign(folder, f"its network takes {filesize(needed)}, and the weights have {filesize(stored)}")
