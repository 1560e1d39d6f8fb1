"""What encoders of all kinds of data share: how one is built, the user's own network, and a transformer's blocks."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, Origin, TokenEncoder, Tokens
from selftaught.system import components
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

MAPS = {1: ("(B, D)",), 2: ("(B, D)", "(B, N, D)", "(B, D, h, w)")}  # what an own network may give, by a sample's axes


def build(create: Callable[..., Encoder], part: Part, preparation: Any, module: nn.Module | None = None) -> Encoder:
    """A fresh encoder for samples as prepared; `module` is the user's own network for the name "own".

    It carries `origin`, how it was made.
    """
    chosen = components.checked(f"encoder {part.name}", create, part.options)
    return create(part.name, preparation, module, **chosen)


class Own(Encoder):
    """The user's own network, which gives features (B, D), or of images a map (B, D, h, w) or tokens (B, N, D)."""

    def __init__(
        self, net: nn.Module | None, shape: tuple[int, ...], things: str, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        if net is None:
            raise UsageError("the encoder 'own' is a network of yours: pass it in Python, as encoder=my_network")
        self.net, self.axes = net, len(shape) - 1
        self.origin = Origin("own", type(net).__name__)
        device = next((p.device for p in net.parameters()), torch.device("cpu"))
        training = net.training
        try:
            with torch.no_grad():
                given = net.eval()(torch.zeros(2, *shape, device=device, dtype=dtype))
        except Exception as error:
            raise UsageError(f"your network does not take {things} of {shape}: {error}") from None
        net.train(training)
        # Of a sample with one axis, a map and tokens would be told apart by nothing.
        allowed = MAPS.get(self.axes, MAPS[1])
        if not isinstance(given, Tensor) or not 2 <= given.ndim < 2 + len(allowed) or len(given) != 2:
            shown = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise UsageError(f"your network gives {shown}; of {things} it must give {' or '.join(allowed)}")
        self.dim = given.shape[2] if given.ndim == 3 else given.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        return self.feature_and_map(x)[0]

    def feature_and_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.map(x)
        return features.mean(dim=tuple(range(2, 2 + self.axes))), features

    def map(self, x: Tensor) -> Tensor:
        given = self.net(x)
        features = given.mT if given.ndim == 3 else given
        return features[(..., *[None] * (2 + self.axes - features.ndim))]


class Transformer(TokenEncoder):
    """A token encoder whose `net` has the blocks and the last norm of timm's vision transformers."""

    @abstractmethod
    def stream(self, x: Tensor, embedded: Tensor, keep: Tensor | None) -> Tensor:
        """What the first block gets (B, P + N or K, dim): prefix tokens first, then embeddings with their places."""

    def attention(self, stream: Tensor, prefix: int, keep: Tensor | None, attend: Tensor | None) -> dict[str, Tensor]:
        """What every block is told of who may look at whom, and from how far."""
        # Prefix tokens are seen by all but see only each other, since they would carry what a later token holds to an
        # earlier one.
        return {} if attend is None else {"attn_mask": _mask(attend, prefix, stream.dtype)}

    def forward(self, x: Tensor) -> Tensor:
        return self.feature(self.tokens(x))

    def map(self, x: Tensor) -> Tensor:
        return self.tokens(x).patches.mT.unflatten(2, self.grid(x.shape[2:]))

    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        embedded = self.embedded(x, keep)
        if hidden is not None and hole is not None:
            embedded = torch.where(hidden[..., None], hole.to(embedded.dtype), embedded)
        stream = self.stream(x, embedded, keep)
        prefix = stream.shape[1] - embedded.shape[1]
        how = self.attention(stream, prefix, keep, attend)
        outputs = {}
        for number, block in enumerate(self.net.blocks):
            stream = block(stream, **how)
            if number in layers:
                outputs[number] = stream
        stream = self.net.norm(stream)
        return Tokens(stream[:, prefix:], stream[:, :prefix], tuple(outputs[number] for number in layers))


def picked(x: Tensor, keep: Tensor | None) -> Tensor:
    """Rows `keep` (B, K) of x (B, N, D), or all."""
    return x if keep is None else x.gather(1, keep[..., None].expand(-1, -1, x.shape[2]))


def _mask(attend: Tensor, prefix: int, dtype: torch.dtype) -> Tensor:
    """Zero where a token may look, minus infinity elsewhere, as is added to the scores of attention."""
    whole = F.pad(attend, (prefix, 0), value=True)
    whole = F.pad(whole, (0, 0, prefix, 0), value=False)
    whole[..., :prefix, :prefix] = True
    return torch.zeros(whole.shape, dtype=dtype, device=whole.device).masked_fill_(~whole, -torch.inf)
