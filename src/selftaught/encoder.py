"""What an encoder promises. It is the one thing pre-training leaves behind."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Turns a batch of samples into one feature each."""

    dim: int  # numbers in a feature
    origin: Any = None  # how it was made, where a modality's builder made it
    preparation: Any = None  # how samples become its input, once it was loaded from an export
    part: Any = None  # its name and options, then

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Samples to features: (B, dim)."""

    @abstractmethod
    def map(self, x: Tensor) -> Tensor:
        """Samples to a map of features: (B, dim, h, w), where h and w may be 1."""


class Tokens(NamedTuple):
    """What a token encoder makes of a batch."""

    patches: Tensor  # (B, K, dim), in the order of `keep`, or of all N positions
    prefix: Tensor  # (B, P, dim): class and register tokens; P is 0 where the network has none
    layers: tuple[Tensor, ...] = ()  # the layers asked for, each (B, P + K, dim)


class TokenEncoder(Encoder):
    """An encoder that sees a sample as a grid of tokens, and can be shown only some of them."""

    patch: int  # side of a patch
    patch_dim: int  # raw numbers behind one token

    @abstractmethod
    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Tokens along each axis of a sample of `size` (H, W)."""

    @abstractmethod
    def length(self, size: Sequence[int]) -> int:
        """Tokens in a sample of `size` (H, W)."""

    @abstractmethod
    def patchify(self, x: Tensor) -> Tensor:
        """The raw numbers behind every token: (B, N, patch_dim)."""

    @abstractmethod
    def unpatchify(self, patches: Tensor, size: Sequence[int]) -> Tensor:
        """The sample of `size` (H, W) that `patchify` would cut into `patches` (B, N, patch_dim)."""

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
