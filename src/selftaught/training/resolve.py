"""From a recipe with open choices to the data, the method and a recipe that says everything."""

import torch
from torch import nn

from .. import parts
from ..encoder import Encoder, TokenEncoder
from ..errors import DataError, UsageError
from ..images.encoders import build_encoder, token_encoders_hint
from ..images.encoders.weights import load_initial_weights
from ..images.preparation import Preparation
from ..images.store import Images, open_images
from ..method import Data, Method, Training
from ..parts import Part
from ..progress import Progress
from ..recipes import Pretrain
from .interruption import Stop

SAMPLES_BY_DEFAULT = 2_000_000  # samples seen where the user names no epochs, within 10 to 200 epochs


def open_data(recipe: Pretrain, stop: Stop) -> Images:
    """The recipe's images, decoded; on resume they must be those of the run."""

    with Progress("decoding", 0, "images") as bar:

        def decoding(done: int, total: int) -> None:
            stop.poll()
            bar.update(done, total=total)

        images = open_images(
            recipe.data,
            size=recipe.size,
            limit=recipe.limit,
            seed=recipe.seed,
            memory=recipe.memory,
            cache=recipe.cache,
            workers=recipe.workers,
            progress=decoding,
        )
    if recipe.fingerprint and recipe.fingerprint != images.fingerprint:
        raise UsageError(
            f"cannot resume: {recipe.data} is not the data this run was started with "
            f"(fingerprint {images.fingerprint[:12]}, expected {recipe.fingerprint[:12]})"
        )
    return images


def resolve(recipe: Pretrain, images: Images) -> Pretrain:
    """Fill in every choice that was left open, so that the saved recipe says all of it."""
    method = parts.method_class(recipe.method.name)
    encoder = recipe.encoder or Part(name="vit_tiny_patch16_224" if method.needs_tokens else "resnet18")
    preset = training_preset(method, recipe)
    batch_size = recipe.batch_size or min(preset.batch_size, _power_of_two(images.count // 4))
    if images.count < batch_size:
        fits = _power_of_two(images.count)
        raise DataError(f"{images.count} images are fewer than a batch of {batch_size}; use --batch-size {fits}")
    per_epoch = images.count // batch_size
    chosen = [name for name in ("epochs", "steps", "budget") if getattr(recipe, name) is not None]
    if len(chosen) > 1 and not recipe.resume:
        raise UsageError(f"give one of --{' and --'.join(chosen)}, not both")
    epochs, steps = recipe.epochs, recipe.steps
    if not chosen:
        epochs = float(max(10, min(200, SAMPLES_BY_DEFAULT // images.count)))
    if epochs is not None:
        steps = max(1, round(epochs * per_epoch))
    return recipe.model_copy(
        update={
            "encoder": encoder,
            "batch_size": batch_size,
            "epochs": epochs,
            "steps": steps,
            "size": images.preparation.size,
            "fingerprint": images.fingerprint,
        }
    )


def training_preset(method: type[Method], recipe: Pretrain) -> Training:
    """The method's preset with the recipe's changes."""
    changes = {**recipe.training, **({"lr": recipe.lr} if recipe.lr else {})}
    given = {**vars(method.preset), **parts.checked("training", Training, changes)}
    return Training(**given)


def _power_of_two(number: int) -> int:
    return max(2, 1 << max(1, number).bit_length() - 1)


def preflight(recipe: Pretrain, module: nn.Module | None) -> None:
    """Refuse what cannot work before the data is opened: names, options, and a method on the wrong encoder."""
    if recipe.devices not in ("auto", "1"):
        raise UsageError(f"--devices cannot be {recipe.devices!r}: training runs on one device so far; use --devices 1")
    cls = parts.method_class(recipe.method.name)
    parts.checked(f"method {recipe.method.name}", cls, recipe.method.options)
    training_preset(cls, recipe)
    if recipe.encoder and module is None:
        side = min(recipe.size) if recipe.size else 64
        guess = Preparation(channels=3, size=(side, side), low=0, high=1, mean=(0.5,) * 3, std=(0.5,) * 3)
        with torch.device("meta"):
            _refuse_unfit(cls, recipe, build_encoder(recipe.encoder, guess))


def _refuse_unfit(cls: type[Method], recipe: Pretrain, encoder: Encoder) -> None:
    if cls.needs_tokens and not isinstance(encoder, TokenEncoder):
        assert recipe.encoder
        raise UsageError(
            f"{recipe.method.name} needs an encoder that works on tokens, which {recipe.encoder.name} does not; "
            f"try {token_encoders_hint()}"
        )


def build(recipe: Pretrain, images: Images, module: nn.Module | None) -> tuple[Method, str]:
    """The method with its encoder, and a line about where the weights come from."""
    assert recipe.encoder
    cls = parts.method_class(recipe.method.name)
    torch.manual_seed(recipe.seed)
    preparation = images.preparation
    encoder: Encoder = build_encoder(recipe.encoder, preparation, module)
    _refuse_unfit(cls, recipe, encoder)
    if cls.needs_color and preparation.channels != 3:
        raise UsageError(f"{recipe.method.name} needs colour images; these have {preparation.channels} channel(s)")
    weights = load_initial_weights(encoder, recipe.init) if recipe.init else "fresh weights"
    data = Data(images.count, preparation.shape, preparation.mean, preparation.std)
    options = parts.checked(f"method {recipe.method.name}", cls, recipe.method.options)
    return cls(encoder, data, **options), weights
