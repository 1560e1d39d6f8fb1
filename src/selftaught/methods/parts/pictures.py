"""What people are shown of a task: the pieces of a method's `picture` that several share."""

import torch
from torch import Tensor

from selftaught.contracts.encoder import TokenEncoder
from selftaught.methods.parts.blocks import Blocks
from selftaught.methods.parts.masks import outside


def filled(x: Tensor, hidden: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    """Samples with what was `hidden` (booleans of a shape that broadcasts) left out, and with the answer in its place.

    The answer stands only where something was asked, so that it is not judged by what it was shown.
    """
    return {"input": x, "shown": x.masked_fill(hidden, 0.0), "answer": torch.where(hidden, predicted.to(x.dtype), x)}


def filled_patches(
    tokens: TokenEncoder, x: Tensor, hidden: Tensor, predicted: Tensor, normalised: bool
) -> dict[str, Tensor]:
    """The same of images x (B, C, H, W) whose patches `hidden` (B, N) were predicted (B, N, patch_dim)."""
    patches = tokens.patchify(x)
    if normalised:  # an answer is only an image again with each true patch's own mean and deviation
        predicted = predicted * (patches.var(dim=2, keepdim=True) + 1e-6).sqrt() + patches.mean(dim=2, keepdim=True)
    images = filled(patches, hidden[..., None], predicted)
    return {name: tokens.unpatchify(made, x.shape[2:]) for name, made in images.items()}


def without(tokens: TokenEncoder, x: Tensor, hidden: Tensor) -> Tensor:
    """Images x (B, C, H, W) without the patches `hidden` (B, N): grey, as zero is the mean of normalised values."""
    return tokens.unpatchify(tokens.patchify(x).masked_fill(hidden[..., None], 0.0), x.shape[2:])


def shown_and_asked(tokens: TokenEncoder, x: Tensor, blocks: Blocks) -> dict[str, Tensor]:
    """Images x (B, C, H, W), what a student sees of them, and what it is asked for."""
    places, length = {"shown": blocks.context, "asked": blocks.targets.flatten(1)}, tokens.length(x.shape[2:])
    return {"input": x, **{name: without(tokens, x, outside(at, length)) for name, at in places.items()}}


def words(tokens: TokenEncoder, x: Tensor, hidden: Tensor, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Images x (B, C, H, W), what is left of them without the patches `hidden` (B, N), and which patches share a word
    by each of the named scores (B, N, K)."""
    told = {name: by_word(tokens, x, said.argmax(dim=2)) for name, said in scores.items()}
    return {"input": x, "shown": without(tokens, x, hidden), **told}


def by_word(tokens: TokenEncoder, x: Tensor, words: Tensor) -> Tensor:
    """Images x (B, C, H, W) with every patch replaced by the mean of all that were given its word (words: B x N)."""
    patches = tokens.patchify(x)
    _, which = words.flatten().unique(return_inverse=True)
    flat = patches.flatten(0, 1)
    count = which.bincount()
    sums = flat.new_zeros(len(count), flat.shape[1]).index_add_(0, which, flat)
    return tokens.unpatchify((sums / count[:, None])[which].view_as(patches), x.shape[2:])
