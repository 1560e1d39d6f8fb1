"""Exemplar networks (Dosovitskiy et al., 2014): which of all these images was it? https://arxiv.org/abs/1406.6909"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from selftaught import Data, Encoder, Method, Training, bounds, devices
from selftaught.methods.objectives.prediction import cross_entropy


class Exemplar(Method):
    """Each of up to 8,000 images is a class of its own, made of all its augmentations; a linear layer names it.

    Of more images than classes, the exemplars are spread evenly over the data, and the others are left out of the
    batch before they cost anything.
    """

    question = "Which of the exemplars was this before it was augmented?"
    paper = "https://arxiv.org/abs/1406.6909"
    views = ("strong", "strong", "index")
    # Asks for samples: 40.9 % linear after 50,000 of CIFAR-10 (untrained 41.7), 55.4 after 200,000
    # (docs/results/learns.md). A vision transformer asks for more still: 200,000 bring its loss from 9.0 to 6.9 (2.8 on
    # a ResNet). Views are SimCLR's; the paper has a list of its own.
    no_tokens = "after 200,000 samples 43.4 % linear of CIFAR-10, untrained 44.2"
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)

    def __init__(
        self, encoder: Encoder, data: Data, /, *, classes: Annotated[int, bounds.whole(2, 8000)] = 8000
    ) -> None:
        super().__init__(encoder, data)
        self.count, self.classes = data.count, min(classes, data.count)
        self.classifier = nn.Linear(encoder.dim, self.classes)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        first, second, index = views
        # The first sample of each of `classes` equal parts of the data is an exemplar.
        number = devices.on_the_host(index)  # where the count of what is chosen is known without waiting for it
        label = number * self.classes // self.count
        exemplar = (number == 0) | ((number - 1) * self.classes // self.count != label)
        chosen = exemplar.nonzero().squeeze(1)
        if not len(chosen):  # a batch without exemplars teaches nothing, but still has a loss
            chosen = torch.zeros(1, dtype=torch.long)
        weight, label, chosen = (
            devices.moved(each, index.device) for each in (exemplar[chosen], label[chosen], chosen)
        )
        features = self.encoder(torch.cat([first[chosen], second[chosen]]))
        # Weighed by what is an exemplar, for all processes: one of them may have had none.
        counts = weight.to(features.dtype).repeat(2)
        return {"cross_entropy": cross_entropy(self.classifier(features), label.repeat(2), counts)}

    def chance(self, batch: int) -> float:
        return math.log(self.classes)
