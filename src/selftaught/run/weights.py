"""Weights to start from: timm's, a file's or another run's, fitted to an encoder as far as they fit."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from selftaught.contracts.encoder import Encoder
from selftaught.run.known import GREY, TIMM, is_of_timm, known_of
from selftaught.run.layout import is_classifier
from selftaught.system.arrays import refuse_odd_weights
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

COLOURS = 3  # channels
OTHERS = (".safetensors", ".bin", ".pth", ".pt")  # ends of files of weights, which in a folder nobody looks for
WRAPPERS = ("state_dict", "model", "student", "teacher", "encoder")  # keys that checkpoints hide weights under
PREFIXES = (
    *("module.", "model.", "net.", "encoder.", "encoder_q.", "backbone.", "student."),
    *("bert.", "roberta.", "distilbert.", "electra.", "mpnet.", "albert.", "deberta."),  # of transformers
)
OLDER = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # how BERT's first weights call it


class FitsNothingError(UsageError):
    """Weights of another network."""


def load_initial_weights(encoder: Encoder, source: str, kind: str | None = None) -> str:
    """Copy what fits of "timm", a model of timm's, a file, a run or a folder in timm's layout; a line says what did.

    A file that fits nowhere is a usage error, never a silent fresh start. kind: of the data that the encoder is for.
    """
    known = known_of(source, encoder.origin.name)
    try:
        left = fit_weights(encoder, source)
    except FitsNothingError as error:
        other = kind is not None and known.modality not in (None, kind)
        theirs = f"they are of a run on {known.modality}, not {kind}"
        way = theirs if other else "name the network that they are of by --encoder"
        raise UsageError(f"{error}: {way}") from None
    learnt = sum(1 for _ in encoder.net.named_parameters())
    fresh = f", fresh: {', '.join(left[:4])}{' ...' if len(left) > 4 else ''}" if left else ""
    taught = "; labels have taught them: judge by others than those" * known.labelled
    return f"{learnt - len(left)} of {learnt} tensors from {printable(source)}{fresh}{taught}"


def fit_weights(encoder: Encoder, source: str) -> list[str]:
    """Copy what fits of such weights into `encoder`; the names of those that nothing fits."""
    tensors = _from_timm(encoder, source) if source == TIMM or is_of_timm(source) else _from_file(source)
    net = encoder.net
    own = net.state_dict()
    tensors = {_bare(name, own): value for name, value in tensors.items()}
    if isinstance(net, VisionTransformer):
        tensors = checkpoint_filter_fn(tensors, net)  # resamples patch and position embeddings
    tensors = {name: _folded(value, own[name]) if name in own else value for name, value in tensors.items()}
    fits = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    learnt = {name for name, _ in net.named_parameters()}
    left = sorted(learnt - fits.keys())
    if not learnt & fits.keys():
        example = next(iter(tensors), "nothing")
        held = f"it holds {printable(example)} and others"
        raise FitsNothingError(f"--init {printable(source)} fits no weight of {printable(encoder.origin.name)}; {held}")
    net.load_state_dict(fits, strict=False)
    return left


def _folded(value: Tensor, own: Tensor) -> Tensor:
    """Weights of a first convolution, those for colours or grey made ones for as many channels as `own` takes."""
    given, wanted = value.shape, own.shape
    same = len(given) == len(wanted) == 4 and (given[0], *given[2:]) == (wanted[0], *wanted[2:])
    if not same or given[1] == wanted[1] or given[1] not in (GREY, COLOURS):
        return value
    if given[1] == GREY:  # the same answer to a grey image
        return value.expand(wanted) / wanted[1]
    return adapt_input_conv(wanted[1], value)


def _from_timm(encoder: Encoder, source: str) -> dict[str, Tensor]:
    """The weights of a model of timm's, built as the encoder is where that is of the same architecture."""
    origin = encoder.origin
    if source == TIMM and origin.library != TIMM:
        raise UsageError(f"--init timm needs an encoder of timm's, not {origin.name}")
    name = origin.name if source == TIMM else source
    same = origin.library == TIMM and name.partition(".")[0] == origin.name.partition(".")[0]
    try:
        trained = timm.create_model(name, pretrained=True, num_classes=0, **(origin.arguments if same else {}))
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--init {source}: the weights of {name} could not be had: {first}") from None
    return trained.state_dict()


def _from_file(source: str) -> dict[str, Tensor]:
    path = Path(source)
    if path.is_dir():
        path = next((p for p in (path / "encoder/model.safetensors", path / "model.safetensors") if p.exists()), path)
    shown = printable(source)
    if is_classifier(path):
        raise UsageError(f"--init {shown} is a classifier: name the folder of its weights, {shown}/classifier")
    if not path.is_file():
        neither = f"--init {shown} is neither a model of timm's, a file nor a folder with an encoder in it"
        raise UsageError(f"{neither}{_instead(path)}")
    try:
        if path.suffix == ".safetensors":
            refuse_odd_weights(path, links=True)
            held: Any = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, ValueError, EOFError, ImportError) as error:
        raise UsageError(f"--init {shown} cannot be read as weights: {_plainly(error)}") from None
    except Exception as error:  # torch refuses pickled code with errors of its own
        raise UsageError(f"--init {shown} was refused: {type(error).__name__}; only plain tensors are read") from None
    for wrapper in WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
    if not isinstance(held, dict):
        raise UsageError(f"--init {shown} holds a {type(held).__name__}, not weights by name")
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}


def _instead(path: Path) -> str:
    """What could have been meant by a source that is none; "" where nothing is known."""
    name = str(path).removeprefix("timm:").removeprefix("timm/")
    if name != str(path) and is_of_timm(name):
        return f": timm's own is called {name}"
    files = sorted(file.name for file in path.glob("*") if file.suffix in OTHERS) if path.is_dir() else []
    return f": it holds {printable(files[0])}, which may be named itself" if files else ""


def _plainly(error: Exception) -> str:
    """The first line of an error of torch's, but never its advice to let a file run code."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    if "weights_only" in line:
        kind = "a TorchScript archive" if "TorchScript" in line else "a file"
        return f"it is {kind} that holds code; save its state_dict() instead, as .safetensors best"
    return printable(line)


def _bare(name: str, known: Container[str]) -> str:
    """A name without what others put before it, as far as that is needed to be one of the `known`."""
    for older, newer in OLDER.items():
        name = name if name in known else name.replace(older, newer)
    while name not in known and (prefix := next((p for p in PREFIXES if name.startswith(p)), None)):
        name = name.removeprefix(prefix)
    return name
