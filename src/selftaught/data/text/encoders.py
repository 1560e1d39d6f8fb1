"""Encoders of texts, by name: transformers of our own, or the user's own module."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from selftaught.contracts.encoder import PADDING, Encoder, Origin, Tokens
from selftaught.data.encoders import Own, Transformer, build, picked
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.sentences import Pooling, Sentences
from selftaught.data.text.texts import THINGS
from selftaught.system import bounds, components
from selftaught.system.errors import UsageError


class Sizes(NamedTuple):
    """How large a transformer is."""

    depth: int
    width: int
    heads: int


# Those of the compact models of Turc et al. (1908.08962, section 3) with 2 and 4 layers.
SIZES = {"text_tiny": Sizes(2, 128, 2), "text_small": Sizes(4, 256, 4)}
ENCODERS = tuple(SIZES)
Mark = Annotated[int, bounds.whole(0, bounds.MANY)]
Marks = Annotated[tuple[Mark, Mark, Mark], bounds.words(f"three whole numbers from 0 to {bounds.MANY:,}")]


def create(
    name: str,
    preparation: Preparation,
    module: nn.Module | None = None,
    /,
    *,
    depth: bounds.Blocks | None = None,
    width: bounds.Width | None = None,
    heads: bounds.Heads | None = None,
    pooling: Pooling = "mean",
    dropout: bounds.BelowOne = 0.0,
    config: str | None = None,
    marks: Marks = (0, 0, 0),
) -> Encoder:
    """Build an encoder; the keyword-only parameters are its options.

    depth: blocks (2, or 4 of text_small); width: of a token (128, or 256); heads: of attention (2, or 4); pooling:
    whether a feature is the mean of the words that are there, or what stands where a text begins; dropout: of
    embeddings and of what each block adds, in training; config and marks: of a model of transformers, what its folder
    says, which --init takes from there.
    """
    if name == "transformers":
        return _of_transformers(preparation, config, marks, pooling, (depth, width, heads, dropout))
    if name == "own":
        return Own(module, preparation.shape, THINGS, torch.int64)
    if name not in SIZES:
        raise UsageError(f"no encoder of texts named {name!r}; {components.hint(name, ENCODERS)}")
    own = SIZES[name]
    sizes = Sizes(depth or own.depth, width or own.width, heads or own.heads)
    if sizes.width % sizes.heads:
        wanted = f"it is a multiple of the {sizes.heads} heads"
        raise UsageError(f"encoder option 'width' cannot be {sizes.width}: {wanted}")
    encoder = TextTransformer(preparation, sizes, pooling, dropout)
    encoder.origin = Origin("selftaught", name)
    return encoder


build_encoder = partial(build, create)


def _of_transformers(
    preparation: Preparation, config: str | None, marks: Marks, pooling: Pooling, others: Sequence[Any]
) -> Encoder:
    from selftaught.data.text.transformers import HuggingFace  # a library of seconds

    if config is None:
        raise UsageError("the encoder 'transformers' is that of a folder: name it by --init, and no --encoder")
    if any(others):
        raise UsageError("encoder options 'depth', 'width', 'heads' and 'dropout' are those of the model that is named")
    return HuggingFace(preparation, config, marks, pooling)


class TextTransformer(Sentences, Transformer):
    """A transformer with places that are learnt, whose norms come first (GPT-2's).

    Nothing looks at what is behind the end of a text.
    """

    def __init__(self, preparation: Preparation, sizes: Sizes, pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.dim, self.depth, self.pooling, self.dropout = sizes.width, sizes.depth, pooling, dropout
        self.net = Words(preparation.words, preparation.length, sizes, dropout)

    def freeze_patches(self) -> None:
        self.net.embed.requires_grad_(False)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        return picked(self.net.embed(x[:, 0]), keep)

    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        places = self.net.places[:, : x.shape[2]].expand(x.shape[0], -1, -1)
        return F.dropout(embedded + picked(places, keep), self.dropout, self.training)

    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        there = x[:, 0] != PADDING
        there = there if keep is None else there.gather(1, keep)
        made = super().tokens(x, keep, hidden, hole, self.sight(there, attend), layers)
        return made._replace(there=there)


class Words(nn.Module):
    """The weights of a transformer of words."""

    def __init__(self, words: int, length: int, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, sizes.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.places = nn.Parameter(torch.randn(1, length, sizes.width) * 0.02)
        blocks = (Block(sizes.width, sizes.heads, qkv_bias=True, proj_drop=dropout) for _ in range(sizes.depth))
        self.blocks = cast(Sequence[nn.Module], nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(sizes.width)
