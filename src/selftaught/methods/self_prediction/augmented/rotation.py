"""Rotation (Gidaris et al., 2018): by how much was this image turned? https://arxiv.org/abs/1803.07728"""

import math

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, UsageError
from selftaught.methods.objectives.prediction import cross_entropy


class Rotation(Method):
    """Each image is shown four times, turned by 0, 90, 180 and 270 degrees; the network says which is which."""

    question = "By how many quarter turns was the image turned?"
    paper = "https://arxiv.org/abs/1803.07728"
    views = ("light",)
    # A sample is four inputs: half the usual batch. The paper: SGD, with a rate that drops in steps; here it follows
    # a cosine.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4, batch_size=128)
    needs_images = True
    needs_turns = True
    needs_up = True

    def __init__(self, encoder: Encoder, data: Data, /) -> None:
        super().__init__(encoder, data)
        # Turned by a quarter, a long image would be tall: its shape would tell the answer.
        if data.shape[1] != data.shape[2]:
            raise UsageError(
                f"rotation needs square views, these are {data.shape[1]} x {data.shape[2]}; "
                f"use --size {min(data.shape[1:])}"
            )
        self.classifier = nn.Linear(encoder.dim, 4)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        turned, turns = all_turns(views[0])
        return {"cross_entropy": cross_entropy(self.classifier(self.encoder(turned)), turns)}

    def chance(self, batch: int) -> float:
        return math.log(4)

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        turns = torch.arange(len(x), device=x.device) % 4
        turned = torch.stack([image.rot90(int(turn), (1, 2)) for image, turn in zip(x, turns)])
        said = self.classifier(self.encoder(turned)).argmax(dim=1)
        undone = torch.stack([image.rot90(-int(turn), (1, 2)) for image, turn in zip(turned, said)])
        return {"input": x, "shown": turned, "answer, undone": undone}


def all_turns(x: Tensor) -> tuple[Tensor, Tensor]:
    """All four quarter turns of each image (4B, C, H, W), and which is which (4B,)."""
    # All four of each image, as the paper found best, rather than one that is drawn.
    turned = torch.cat([x.rot90(turn, (2, 3)) for turn in range(4)])
    return turned, torch.arange(4, device=x.device).repeat_interleave(len(x))
