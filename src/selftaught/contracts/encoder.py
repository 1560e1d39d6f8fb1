"""What an encoder promises. It is the one thing pre-training leaves behind."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, NamedTuple, Self

from torch import Tensor, nn

# Samples of words are whole numbers (B, 1, N): nothing behind the end of a text, a word that is hidden, where a text
# begins, and from the fourth on the words, or parts of words, of a vocabulary.
PADDING, HIDDEN, BEGIN, WORDS = 0, 1, 2, 3

CALLS = ("forward", "map", "feature_and_map", "tokens")  # how methods show samples to an encoder that has them


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers inside that have statistics."""
    return [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


@dataclass
class Origin:
    """How an encoder was made: what an export needs to say so that others can rebuild it."""

    library: Literal["timm", "torchvision", "selftaught", "own"]
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    small_stem: bool = False  # a ResNet's stem was replaced, which no argument can express
    features: str = ""  # what its features of x are, in Python, where they are not net(x)
    beside: tuple[str, ...] = ()  # lines of Python that give the network what these need besides

    @property
    def timm_alone(self) -> bool:
        """Whether timm by itself, given the arguments, makes the same network and the same features."""
        return self.library == "timm" and not (self.small_stem or self.features)


class Encoder(nn.Module, ABC):
    """Turns a batch of samples into one feature each."""

    dim: int  # numbers in a feature
    net: Any  # the module that is exported
    origin: Origin  # how it was made
    patch: int = 1  # side of a patch, of which a sample has a whole number; 1 where there are none
    preparation: Any = None  # how samples become its input, once it was loaded from an export
    part: Any = None  # its name and options, then
    ignored: tuple[tuple[str, str], ...] = ()  # options that it was given and does not have, and a line on each
    left_out: int = 0  # numbers of a feature that nothing trains, where they are left out of it while the rest is
    along: bool = False  # whether places on a single axis are neighbours, as moments are and columns of a row are not
    keeps_statistics: bool = False  # whether batch norms go by what they have been taught, in training, too

    def train(self, mode: bool = True) -> Self:
        """As of any module; batch norms whose statistics are kept stay as they are in use."""
        super().train(mode)
        if self.keeps_statistics:
            for norm in batch_norms(self):
                norm.eval()
        return self

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Samples to features: (B, dim)."""

    @abstractmethod
    def map(self, x: Tensor) -> Tensor:
        """Samples to a map of features: (B, C, h, w) of images, where h and w may be 1, (B, C, n) of rows.

        Its C channels are `dim` in most networks, but not in those that compute their feature from more than the map.
        """

    def feature_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both of the same samples, for less than both cost where the network can."""
        return self(x), self.map(x)

    def learnt(self, x: Tensor) -> Tensor:
        """Of the features of samples x what training can change, for those who pass all layers to measure their norms.

        (B, dim), or less by what nothing trains.
        """
        return self(x)

    def leave_out(self) -> None:
        """Give features of what is trained alone from now on, which pre-training would else hardly need to teach."""

    @property
    def starts(self) -> bool:
        """Whether layers are still to be made of the data itself, by `start`."""
        return False

    def start(self, everything: Tensor, seed: int) -> None:
        """Run once before step 0, unless its weights came from elsewhere; `everything` is a sample of plain views.

        The same for the same sample and seed.
        """

    def begin_as(self, other: Self) -> None:
        """Take over what `start` made of the data for another encoder of the same kind, and nothing that it learnt."""


def digest_of(encoder: Encoder) -> str:
    """The same for the same weights and, where the encoder knows one, the same way from samples to network input."""
    way = "" if encoder.preparation is None else encoder.preparation.model_dump_json()
    digest = hashlib.blake2b(way.encode(), digest_size=16)
    for name, value in encoder.net.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Tokens(NamedTuple):
    """What a token encoder makes of a batch."""

    patches: Tensor  # (B, K, dim), in the order of `keep`, or of all N positions
    prefix: Tensor  # (B, P, dim): class and register tokens; P is 0 where the network has none
    layers: tuple[Tensor, ...] = ()  # the layers asked for, each (B, P + K, dim)
    there: Tensor | None = None  # (B, K) booleans, which of the patches hold anything; None where all do


class TokenEncoder(Encoder):
    """An encoder that sees a sample as a grid of tokens, and can be shown only some of them."""

    patch: int  # side of a patch
    patch_dim: int  # raw numbers behind one token
    depth: int  # blocks
    uniform: bool = True  # whether the numbers behind a token are of one kind and scale, as pixels are

    @property
    def varied(self) -> bool:
        """Whether the numbers behind a token have a mean and a deviation of their own: a single one has none."""
        return self.uniform and self.patch_dim > 1

    @abstractmethod
    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Tokens along each axis of a sample of `size` (H, W)."""

    def length(self, size: Sequence[int]) -> int:
        """Tokens in a sample of `size` (H, W)."""
        return prod(self.grid(size))

    @abstractmethod
    def patchify(self, x: Tensor) -> Tensor:
        """The raw numbers behind every token: (B, N, patch_dim)."""

    @abstractmethod
    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        """The sample of `size` (H, W) that `patchify` would cut into `patches` (B, N, patch_dim)."""

    @abstractmethod
    def feature(self, tokens: Tokens) -> Tensor:
        """What `forward` would make of these tokens (B, dim): their mean or the class token, as the network pools."""

    @abstractmethod
    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Embeddings (B, N or K, dim) of what is shown, which do not yet say where they are from."""

    @abstractmethod
    def freeze_patches(self) -> None:
        """Keep the embedding of raw patches as it is from now on."""

    @abstractmethod
    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        """Encoded tokens of samples x (B, C, H, W), any size that is a multiple of `patch`.

        keep: (B, K) positions shown, the others never enter the network; hidden: (B, N) booleans, positions
        whose embedding is replaced by `hole` (dim,); attend: (N, N) or (B, 1, N, N) booleans, True where the
        token of a row may look at the token of a column (prefix tokens are added by the encoder); layers:
        indices of blocks whose outputs are returned as well.
        """
