"""The peer's side of the measurements: lightly's documented training loops, for the same networks and images.

Each function yields the seconds of one step after the other, input included, for ever. Needs the [bench] extra.
"""

import copy
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models import utils
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    MAEDecoderTIMM,
    MaskedVisionTransformerTIMM,
    SimCLRProjectionHead,
)
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform, MAETransform, SimCLRTransform
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

WORKERS = 2  # processes that decode and augment; the machine's cores


class Pictures(Dataset[Any]):
    """Images of an archive, as PIL images: small ones held decoded (as torchvision holds CIFAR-10), photos as files."""

    def __init__(self, archive: Path, place: str, limit: int, transform: Any, repeat: int = 1) -> None:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(n for n in opened.namelist() if n.startswith(place) and not n.endswith("/"))
            names = [names[i] for i in np.linspace(0, len(names) - 1, min(limit, len(names))).astype(int)]
            self.files = [opened.read(name) for name in names]
        self.small = len(self.files[0]) < 10_000
        self.decoded = [np.asarray(self._open(file)) for file in self.files] if self.small else []
        self.transform, self.repeat = transform, repeat

    @staticmethod
    def _open(file: bytes) -> Image.Image:
        return Image.open(io.BytesIO(file)).convert("RGB")

    def __len__(self) -> int:
        return len(self.files) * self.repeat

    def __getitem__(self, row: int) -> Any:
        row %= len(self.files)
        image = Image.fromarray(self.decoded[row]) if self.small else self._open(self.files[row])
        return self.transform(image), 0


def loader(dataset: Dataset[Any], batch: int, workers: int = WORKERS) -> Iterator[Any]:
    """Batches for ever, as the examples load them."""
    while True:
        yield from DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)


def backbone(encoder: str, size: int) -> tuple[nn.Module, int]:
    """The network of a comparison and the width of its features."""
    if encoder.startswith("vit"):
        net = timm.create_model(encoder, img_size=size, num_classes=0, global_pool="avg", fc_norm=False)
        return net, int(net.num_features)
    resnet = torchvision.models.resnet18()
    if size <= 64:
        resnet.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        resnet.maxpool = nn.Identity()
    return nn.Sequential(*list(resnet.children())[:-1], nn.Flatten()), 512


def timed(steps: Iterator[Any]) -> Iterator[float]:
    """Seconds that each turn of `steps` takes."""
    while True:
        began = time.perf_counter()
        next(steps)
        yield time.perf_counter() - began


def simclr(encoder: str, size: int, batch: int, pictures: dict[str, Any]) -> Iterator[Any]:
    """lightly's SimCLR example."""
    transform = SimCLRTransform(input_size=size, gaussian_blur=0.0 if size <= 64 else 0.5)
    net, width = backbone(encoder, size)
    head = SimCLRProjectionHead(width, 512, 128)
    criterion = NTXentLoss()
    optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.06)
    total = torch.zeros(())
    for views, _ in loader(Pictures(transform=transform, **pictures), batch):
        a, b = (head(net(view)) for view in views)
        loss = criterion(a, b)
        total += loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


def byol(encoder: str, size: int, batch: int, pictures: dict[str, Any]) -> Iterator[Any]:
    """lightly's BYOL example."""
    transform = BYOLTransform(
        view_1_transform=BYOLView1Transform(input_size=size, gaussian_blur=0.0),
        view_2_transform=BYOLView2Transform(input_size=size, gaussian_blur=0.0),
    )
    net, width = backbone(encoder, size)
    projection, prediction = BYOLProjectionHead(width, 1024, 256), BYOLPredictionHead(256, 1024, 256)
    slow_net, slow_projection = copy.deepcopy(net), copy.deepcopy(projection)
    deactivate_requires_grad(slow_net)
    deactivate_requires_grad(slow_projection)
    criterion = NegativeCosineSimilarity()
    optimizer = torch.optim.SGD([p for m in (net, projection, prediction) for p in m.parameters()], lr=0.06)
    for views, _ in loader(Pictures(transform=transform, **pictures), batch):
        update_momentum(net, slow_net, m=0.99)
        update_momentum(projection, slow_projection, m=0.99)
        predicted = [prediction(projection(net(view))) for view in views]
        targets = [slow_projection(slow_net(view)).detach() for view in views]
        loss = 0.5 * (criterion(predicted[0], targets[1]) + criterion(predicted[1], targets[0]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


def mae(encoder: str, size: int, batch: int, pictures: dict[str, Any]) -> Iterator[Any]:
    """lightly's MAE example, with patches of 4 px."""
    vit = timm.create_model(encoder, img_size=size, patch_size=4)
    net = MaskedVisionTransformerTIMM(vit=vit)
    decoder = MAEDecoderTIMM(
        num_patches=vit.patch_embed.num_patches,
        patch_size=4,
        embed_dim=vit.embed_dim,
        decoder_embed_dim=512,
        decoder_depth=1,
        decoder_num_heads=16,
    )
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW([*net.parameters(), *decoder.parameters()], lr=1.5e-4)
    for views, _ in loader(Pictures(transform=MAETransform(input_size=size), **pictures), batch):
        images = views[0]
        keep, mask = utils.random_token_mask(size=(len(images), net.sequence_length), mask_ratio=0.75)
        embedded = decoder.embed(net.encode(images=images, idx_keep=keep))
        filled = utils.repeat_token(decoder.mask_token, (len(images), net.sequence_length))
        filled = utils.set_at_index(filled, keep, embedded.type_as(filled))
        predicted = decoder.predict(utils.get_at_index(decoder.decode(filled), mask))
        target = utils.get_at_index(utils.patchify(images, 4), mask - 1)
        criterion(predicted, target).backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


LOOPS = {"simclr": simclr, "byol": byol, "mae": mae}
