"""Encoders that others have trained and that are on this machine, to stand beside a run's: its true rivals."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from huggingface_hub import try_to_load_from_cache
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from selftaught.contracts.encoder import Encoder, Origin
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.networks import TimmPooled, TimmTokens
from selftaught.run.export import load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.known import TIMM, folder_of, is_of_timm, known_of
from selftaught.run.layout import is_classifier, refuse_classifier
from selftaught.run.quantities import LOCAL
from selftaught.run.weights import fit_weights
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

COLOURS = 3
WEIGHTS = ("*.json", "*.safetensors", "*.bin")  # files of a folder that a network is made of

Side = tuple[int, int] | None


class Renormalised(Encoder):
    """An encoder that takes images normalised as another one's: with its own mean and deviation, grey as colours."""

    mean: Tensor
    std: Tensor
    side: Side = None  # of what `inner` is shown, where that is another than it is given

    def __init__(self, inner: Encoder, given: Preparation, channels: int, mean: Any, std: Any) -> None:
        super().__init__()
        self.inner, self.net, self.dim, self.origin = inner, inner.net, inner.dim, inner.origin
        self.channels, self.keeps_statistics = channels, inner.keeps_statistics
        # (x * given.std + given.mean - mean) / std, in one step.
        own, deviation = _per_channel(mean, channels), _per_channel(std, channels)
        self.register_buffer("std", _per_channel(given.std, channels) / deviation)
        self.register_buffer("mean", (_per_channel(given.mean, channels) - own) / deviation)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.own(x))

    def learnt(self, x: Tensor) -> Tensor:
        return self.inner.learnt(self.own(x))

    def map(self, x: Tensor) -> Tensor:
        return self.inner.map(self.own(x))

    def feature_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.feature_and_map(self.own(x))

    def own(self, x: Tensor) -> Tensor:
        """Samples as `inner` takes them."""
        if self.side and x.shape[2:] != self.side:
            x = F.interpolate(x, self.side, mode="bilinear")
        return x.expand(-1, self.channels, -1, -1) * self.std + self.mean


def _per_channel(values: Any, channels: int) -> Tensor:
    return torch.tensor(tuple(values), dtype=torch.float32).expand(channels).view(1, channels, 1, 1)


def load_pretrained(
    source: str, part: Part, preparation: Preparation, size: Side = None, *, alone: bool = False
) -> tuple[Encoder, str]:
    """The encoder of a folder in timm's layout, of a run, or of a file of weights; and a line that says what it is.

    Its `preparation` says how it is shown images: normalised as the run's are, which it changes to its own, and at its
    own size, or `size`. part: the encoder whose weights a file, which tells no size, is taken for, unless it lies in
    such a folder and is not to be taken `alone`; preparation: of the run's images. Raises UsageError.
    """
    if source == TIMM:
        return _of_timm(TIMM, part.name, preparation, size, pretrained_cfg_overlay={"file": str(weights_of(part))})
    if is_of_timm(source):
        return _of_timm(source, source, preparation, size)
    path = Path(source.removeprefix(LOCAL))
    if not alone and _is_described(source):
        path = folder_of(str(path))
    if not path.is_dir():
        return _of_weights(str(path), part, _sized(preparation, size))
    refuse_classifier(path)
    if (path / "encoder").is_dir() or (path / "recipe.yaml").is_file() or known_of(str(path), part.name).ours:
        inner = load_encoder(path)
        other = inner.preparation
        if other.modality != preparation.modality:
            raise UsageError(f"--pretrained {printable(source)} takes no {preparation.modality}")
        shown = _sized(preparation, size or other.size)
        return _fitted(source, inner, shown, other.channels, other.mean, other.std), _described("a run", source, shown)
    return _of_timm(source, f"{LOCAL}{path}", preparation, size)


def _is_described(source: str) -> bool:
    """Whether a config.json tells which network a folder's weights, or those of a file in it, are of."""
    if source == TIMM or is_of_timm(source):
        return False
    path = source.removeprefix(LOCAL)
    return known_of(path, "").part is not None and not _is_of_classifier(path)


def _is_of_classifier(path: str) -> bool:
    """Whether weights are those of a classifier's network and its head, by whose folder that is told."""
    return is_classifier(folder_of(path).parent)


class Taught(NamedTuple):
    """A network to learn from."""

    encoder: Encoder
    line: str  # what it is, for people
    fingerprint: str  # of its weights, and of whether a config.json tells what network they are of
    former: str  # of its weights alone, which is what runs noted before a file was asked for the config.json beside it


Stamps = tuple[tuple[str, int, int, int, int], ...]


def stamps_of(source: str) -> Stamps:
    """Which files a teacher is made of as they are now: they may be other ones for the next run of this process."""
    path = Path(source.removeprefix(LOCAL))
    folder = folder_of(str(path))
    inside = [file for pattern in WEIGHTS for part in (folder, folder / "encoder") for file in part.glob(pattern)]
    stats = [(str(file), file.stat()) for file in (sorted(inside) if folder.is_dir() else [path]) if file.is_file()]
    return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats)


@lru_cache(maxsize=2)  # whoever measures and whoever trains have the same one, which nothing changes
def load_teacher(
    source: str, size: Side, name: str, preparation: Preparation, stamps: Stamps, alone: bool = False
) -> Taught:
    """A network to learn from, shown views as large as they are, or `size`.

    name: that of the student, whose architecture a file of weights is taken for; stamps: of the source's files, by
    which one that is kept is known to be the one; alone: as of `load_pretrained`. Raises UsageError.
    """
    shown = size or preparation.size
    try:
        with torch.device("cpu"):  # of numbers, where the student is only on paper as well
            encoder, line = load_pretrained(source, Part(name=name), preparation, shown, alone=alone)
    except UsageError as error:
        raise UsageError(str(error).replace("--pretrained", "--teacher")) from None
    assert isinstance(encoder, Renormalised)
    encoder.side = size
    digest = hashlib.sha256()
    for key, weight in encoder.inner.state_dict().items():
        digest.update(key.encode() + weight.detach().cpu().contiguous().numpy().tobytes())
    former = digest.hexdigest()
    if not alone and _is_described(source):
        digest.update(b"as its config.json says")
    return Taught(encoder, line, digest.hexdigest(), former)


def rival(run: Path, part: Part) -> str | None:
    """Public weights that are at hand for a run, of which the user has named none: those that it was begun with, or
    timm's own of its architecture where the Hub's cache has them. Nothing is asked of the network."""
    try:
        init = RunFolder(run).recipe.init if (run / "recipe.yaml").exists() else None
    except UsageError:
        init = None
    if init and init != TIMM and Path(init).is_dir() and not _is_of_classifier(init):
        return init
    return TIMM if weights_of(part) else None


def weights_of(part: Part) -> Path | None:
    """The file of timm's weights of an architecture in the Hub's cache, as safetensors; None where there is none."""
    known: Any = timm.get_pretrained_cfg(part.name)
    if known is None or not known.hf_hub_id:
        return None
    name, _, revision = known.hf_hub_id.partition("@")
    file = try_to_load_from_cache(name, known.hf_hub_filename or "model.safetensors", revision=revision or None)
    return Path(file) if isinstance(file, str) and file.endswith(".safetensors") else None


def _sized(preparation: Preparation, size: Side) -> Preparation:
    return preparation.sized((size[0], size[1])) if size else preparation


def _described(what: str, source: str, preparation: Preparation) -> str:
    return f"{what} of {printable(source)}, at {preparation.size[0]} x {preparation.size[1]} px"


def _of_timm(source: str, name: str, preparation: Preparation, size: Side, **how: Any) -> tuple[Encoder, str]:
    options: dict[str, Any] = {"pretrained": True, "num_classes": 0, **how}
    sized: dict[str, Any] = {"img_size": list(size)} if size else {}
    try:
        try:  # a network that has a size, and takes another one
            net = timm.create_model(name, **options, **sized)
        except TypeError:
            net = timm.create_model(name, **options)
    except Exception as error:  # timm's own kinds are many
        raise UsageError(f"--pretrained {printable(source)} cannot be loaded by timm: {_first_line(error)}") from None
    cfg: Any = net.pretrained_cfg  # what timm knows of the images that it was trained on
    inner: Encoder = TimmTokens(net) if isinstance(net, VisionTransformer) else TimmPooled(net)
    inner.origin = Origin("timm", str(cfg.get("architecture")))
    inner.keeps_statistics = True
    channels, *own = cfg.get("input_size") or (COLOURS, *preparation.size)
    shown = _sized(preparation, size or (int(own[0]), int(own[1])))
    fitted = _fitted(source, inner, shown, int(channels), cfg["mean"], cfg["std"])
    return fitted, _described(str(cfg.get("architecture")), source, shown)


def _of_weights(source: str, part: Part, preparation: Preparation) -> tuple[Encoder, str]:
    """The run's network with the stem and the colours of the large data sets, or as it is: whichever fits best.

    Where both fit alike, which is said, a file that nothing tells of is taken to be of the large data sets.
    """
    stems = [{"stem": "timm"}, {}] if part.name != "own" else [{}]
    best: tuple[list[str], Encoder, int] | None = None
    undecided = False  # whether another stem takes as much
    problem: UsageError | None = None
    for channels in dict.fromkeys((COLOURS, preparation.channels)):
        for stem in stems:
            grey = {"channels": channels, "mean": (0.5,) * channels, "std": (0.5,) * channels}
            sized = Part(name=part.name, options={**part.options, **stem})
            inner = build_encoder(sized, preparation.model_copy(update=grey))
            try:
                left = fit_weights(inner, source)
            except UsageError as error:
                problem = error
                continue
            if best is None or len(left) < len(best[0]):
                best, undecided = (left, inner, channels), False
            elif len(left) == len(best[0]):
                undecided |= inner.origin.small_stem != best[1].origin.small_stem
    if best is None:
        assert problem
        raise UsageError(str(problem).replace("--init", "--pretrained", 1))
    left, inner, channels = best
    inner.keeps_statistics = not left  # they were taken behind weights that are missing
    cfg: Any = timm.get_pretrained_cfg(part.name) if inner.origin.library == "timm" else None
    mean, std = (cfg.mean, cfg.std) if cfg and channels == COLOURS else (preparation.mean, preparation.std)
    line = f"{part.name} with the weights of {printable(source)}" + (f", but fresh {', '.join(left[:4])}" * bool(left))
    line += ", taken with timm's stem and normalisation; of a run name the folder, which tells its own" * undecided
    return _fitted(source, inner, preparation, channels, mean, std), line


def _fitted(source: str, inner: Encoder, given: Preparation, channels: int, mean: Any, std: Any) -> Encoder:
    """The encoder as it takes what the run's takes."""
    if channels != given.channels and (channels, given.channels) != (COLOURS, 1):
        raise UsageError(
            f"--pretrained {printable(source)} takes {channels} channels, the run's images have {given.channels}"
        )
    fitted = Renormalised(inner, given, channels, mean, std).eval()
    fitted.preparation, fitted.part = given, Part(name="own")
    try:
        with torch.no_grad():
            fitted(torch.zeros(1, *given.shape))
    except Exception as error:
        size = f"{given.size[0]} x {given.size[1]} px"
        refused = f"--pretrained {printable(source)} does not take images of {size}"
        raise UsageError(f"{refused}: {_first_line(error)}") from None
    return fitted


def _first_line(error: Exception) -> str:
    return printable((str(error) or type(error).__name__).splitlines()[0])
