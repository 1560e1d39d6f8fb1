"""Views that somebody's own functions make: of whole batches, or of one picture after the other."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selftaught.contracts.samples import MakeViews, Samples
from selftaught.system import randomness
from selftaught.system.devices import constant
from selftaught.system.errors import UsageError

Function = Callable[[Tensor], Tensor]
PICTURES = "pictures"  # an attribute of functions that take one picture after the other


def on_pictures(function: Callable[[Any, np.random.Generator], Any]) -> Function:
    """A function of a batch, for `views`, by one that takes a PIL image and random numbers, and gives an image.

    That is slower than what takes a batch. The generator is the sample's own: it gives the same numbers in a run that
    is resumed, and for any number of processes. What is given back is a PIL image, an array (H, W, C) of 8 bits, or a
    tensor (C, H, W) in [0, 1]. Transforms of torchvision, which draw from torch's generator, are the same in a resumed
    run on a CPU where they are seeded: torch.manual_seed(int(rng.integers(2**63))).
    """

    def view(images: Tensor) -> Tensor:
        address = randomness.here()
        made = []
        for row, image in enumerate(images.cpu(), address.start):
            how = {"step": address.step, "position": address.position, "stream": row}
            with torch.random.fork_rng(devices=[], enabled=images.device.type == "cpu"):
                given = function(_picture(image), randomness.generator(address.seed, "own view", **how))
            made.append(_tensor(given))
        return torch.stack(made).to(images.device)

    setattr(view, PICTURES, True)
    return view


def _picture(image: Tensor) -> Any:
    """An image (C, H, W) in [0, 1] as PIL has it. Raises UsageError where it has no colours that PIL knows."""
    from PIL import Image

    pixels = (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    if pixels.shape[2] not in (1, 3):
        raise UsageError(f"images of {pixels.shape[2]} channels are no pictures: give a function of batches")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _tensor(given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given.float()
    pixels = np.asarray(given)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1).float() / 255


class OwnViews(MakeViews):
    """Views of which some are made by functions: they take plain views (B, C, ...), in [0, 1] where these are images.

    What they give is of the view's own shape, and is normalised as any view is. They are called inside the address of
    their view, where `selftaught.randomness` draws the same numbers in a run that is resumed.
    """

    def __init__(self, names: Sequence[str], samples: Samples, **how: Any) -> None:
        """`how` as of `Samples.views`; the functions are those of `samples.own`."""
        self.names, self.own, self._preparation = tuple(names), samples.own, samples.preparation
        self._sized = samples.views(names, **how)
        # A plain view draws nothing, so what stands beside it is what it would be anyway.
        self._others = samples.views(tuple("plain" if name in self.own else name for name in names), **how)

    def __call__(self, rows: Tensor, /, *raw: Any) -> tuple[Tensor, ...]:
        made = []
        for position, (name, view) in enumerate(zip(self.names, self._others(rows, *raw))):
            with randomness.view(position) if name in self.own else nullcontext():
                made.append(self._made(name, view) if name in self.own else view)
        return tuple(made)

    def _made(self, name: str, plain: Tensor) -> Tensor:
        shape = (-1, *[1] * (plain.dim() - 2))
        mean, std = (constant(of, plain).view(shape) for of in (self._preparation.mean, self._preparation.std))
        given = self.own[name](plain * std + mean)
        wanted = (*plain.shape[:2], *self.size(name))
        if not isinstance(given, Tensor) or tuple(given.shape) != wanted:
            shown = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise UsageError(f"your view {name!r} gives {shown}, and is to give a tensor of {wanted}")
        given = given.to(plain)
        return ((given - mean) / std).detach() if given.is_floating_point() else given

    def size(self, name: str) -> tuple[int, ...]:
        return self._sized.size(name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every view in use with its options, or the function that makes it."""
        own = {name: {"by": called(function)} for name, function in self.own.items()}
        return {**self._sized.describe(), **own}


def views_of(samples: Samples, names: Sequence[str], **how: Any) -> MakeViews:
    """What makes these views, by functions of somebody's own where there are any."""
    return OwnViews(names, samples, **how) if samples.own else samples.views(names, **how)


def refuse_unknown(own: Mapping[str, Any], recipe_names: str | None, used: Sequence[str]) -> None:
    """Raise UsageError where functions are of no view that is used, or are not those that a run began with."""
    began = {*(recipe_names or "").split(",")} - {""}
    if began != {*own}:
        asked = ", ".join(f"{name!r}: function" for name in sorted(began))
        raise UsageError(f"the run began with views of somebody's own, views={{{asked}}}: give the same again")
    if odd := sorted({*own} - {*used} | ({*own} & {"index", "plain"})):
        known = ", ".join(name for name in dict.fromkeys(used) if name not in ("index", "plain"))
        raise UsageError(f"no view {odd[0]!r} of your own can be used: the method's views are {known}")


def in_words(own: Mapping[str, Any]) -> str:
    """For people: strong by their_module.blur."""
    told = [f"{name} by {called(function)}" for name, function in sorted(own.items())]
    slow = "; one picture after the other, which is slower" * any(hasattr(one, PICTURES) for one in own.values())
    return f"{', '.join(told)}{slow}"


def called(function: Any) -> str:
    """Where a function is, as far as it says so."""
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
