"""Do the contrastive methods train as lightly's do? The same weights and views to both, in float32, for some steps.

The peer's side is lightly's loss, memory bank and moving average around copies of our networks, as its examples put
them together; both sides get our views of real images and plain SGD. Prints the largest relative difference of the
losses of all steps, where both views go through the network together (as ours do) and where each goes through alone
(as the examples do: batch norm then sees one view). Writes docs/results/parity.json. With `--knn`, three methods are
trained on both sides for a few thousand samples, and the features of both are judged.

    python bench/parity.py [--methods simclr,moco] [--steps 20] [--knn]
"""

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightly.loss import (
    BarlowTwinsLoss,
    DCLLoss,
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    TiCoLoss,
    VICRegLoss,
)
from lightly.models.modules import NNMemoryBankModule
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from selftaught.contracts.method import Data, Method
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.images.samples import open_samples
from selftaught.judging.probes.knn import knn_predict
from selftaught.methods import registry
from selftaught.methods.parts.schedules import cosine
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.training.batches import Batches
from selftaught.training.looking.features import estimate_norms, features

RESULT = Path(__file__).parent.parent / "docs/results/parity.json"
BATCH, IMAGES, AGREE = 64, 5_000, 1e-4
# Steep losses and near neighbours: at a rate as large as the others', float32's rounding grows tenfold a step.
LR = {"barlow_twins": 1e-6, "dcl": 3e-5, "nnclr": 3e-6, "nnclr_ntxent": 3e-6}
USUAL_LR = 3e-4
ENCODER = Part(name="resnet10t", options={"stem": "timm"})
KNN = {"simclr": 0.03, "byol": 0.03, "vicreg": 0.003}  # judged after longer runs too, at rates that teach something
Loss = Callable[..., Tensor]  # of a step's views and its progress

# What makes our options those of the peer's classes; whatever is left out is its default already.
OPTIONS: dict[str, dict[str, Any]] = {
    "simclr": {"temperature": 0.5},
    "moco": {"temperature": 0.1, "queue": 1024, "group": BATCH},
    "byol": {},
    "simsiam": {},
    "barlow_twins": {},
    "vicreg": {},
    "swav": {"queue": 0, "freeze_prototypes": 0.0},
    "dino": {"freeze": 0.0, "teacher_warmup": 0.0, "teacher_temperature_end": 0.04},
    "dcl": {"temperature": 0.1},
    "nnclr": {"temperature": 0.1, "queue": 1024},
    "nnclr_ntxent": {"temperature": 0.1, "queue": 1024},
    "tico": {"rho": 20.0},
}
# Where the curves are not the same, and which side follows the paper.
DIFFERENT = {
    "nnclr_ntxent": "lightly's example puts neighbours and predictions through NTXentLoss, which also tells neighbours "
    "from neighbours and predictions from predictions (2B - 1 candidates); the paper's equation 3 and pseudo-code have "
    "the B predictions alone, as ours do; `nnclr` compares with that loss around lightly's memory bank"
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--methods", default=",".join(OPTIONS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--knn", action="store_true", help="also judge both sides after a few thousand samples")
    parser.add_argument("--samples", type=int, default=10_000, help="of the runs that are judged")
    asked = parser.parse_args()
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in asked.methods.split(","):
        ours, together = (curve(name, side, asked.data, asked.steps) for side in ("ours", "together"))
        apart = curve(name, "apart", asked.data, asked.steps)
        row: dict[str, Any] = {"together": worst(ours, together), "apart": worst(ours, apart)}
        row |= {"first step": worst(ours[:1], together[:1]), "steps": asked.steps, "lr": LR.get(name, USUAL_LR)}
        if name in DIFFERENT:
            row["why"] = DIFFERENT[name]
        known.setdefault("curves", {})[name] = row
        verdict = "agrees" if row["together"] <= AGREE else "DIFFERS"
        print(f"{name:14} {verdict:8} {row}", flush=True)
        RESULT.write_text(json.dumps(known, indent=1) + "\n")
    for name in KNN if asked.knn else ():
        for seed in (0, 1):
            found = {"samples": asked.samples, "lr": KNN[name], "untrained": judged(name, "ours", asked.data, 0, seed)}
            found |= {side: judged(name, side, asked.data, asked.samples, seed) for side in ("ours", "apart")}
            known.setdefault("knn", {})[f"{name}, seed {seed}"] = found
            print(name, seed, found, flush=True)
            RESULT.write_text(json.dumps(known, indent=1) + "\n")


def worst(a: list[float], b: list[float]) -> float:
    """The largest relative difference."""
    return max(abs(x - y) / max(abs(x), 1e-12) for x, y in zip(a, b))


def set_up(name: str, data: str, seed: int = 0) -> tuple[Method, Batches, Any]:
    """Our method with fresh weights, its batches, and the samples."""
    samples = open_samples(f"{data}/train", limit=IMAGES, seed=seed)
    preparation: Preparation = samples.preparation
    torch.manual_seed(seed)
    shape = Data(samples.count, preparation.shape, preparation.mean, preparation.std)
    method = registry.method_class(name.split("_ntxent")[0])(
        build_encoder(ENCODER, preparation), shape, **OPTIONS[name]
    )
    batches = Batches(samples, samples.views(method.views), batch_size=BATCH, seed=seed)
    return method, batches, samples


def losses(
    name: str, side: str, method: Method, batches: Batches, steps: int, lr: float, seed: int = 0
) -> Iterator[float]:
    """Train one side in place; the loss of every step."""
    if side == "ours":
        loss_of: Loss = lambda *views, progress: sum(method(*views).values())  # type: ignore[assignment,return-value]  # noqa: E731
    else:
        loss_of = peer(name, method, side == "together")
    trained = [p for p in method.parameters() if p.requires_grad]  # the peer's side is made of the same modules
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9)
    method.train()
    for step in range(steps):
        views = batches(step)
        with randomness.at(seed, step, slice(0, BATCH)):
            loss = loss_of(*views, progress=step / steps)
        optimizer.zero_grad()
        loss.backward()
        if side == "ours":
            method.before_step(step / steps)
        optimizer.step()
        if side == "ours":
            method.after_step((step + 1) / steps)
        yield loss.item()


def curve(name: str, side: str, data: str, steps: int) -> list[float]:
    """The loss of every step."""
    method, batches, _ = set_up(name, data)
    return list(losses(name, side, method, batches, steps, LR.get(name, USUAL_LR)))


def judged(name: str, side: str, data: str, samples: int, seed: int) -> float:
    """kNN accuracy in points after so many samples; after none, with the batch norms' statistics estimated."""
    method, batches, held = set_up(name, data, seed)
    for _ in losses(name, side, method, batches, samples // BATCH, KNN[name], seed):
        pass
    if not samples:
        estimate_norms(method.encoder, held)
    facts = {"like": held.preparation, "labelled": True, "limit": 10_000, "seed": seed}
    train, test = (open_samples(f"{data}/{part}", **facts) for part in ("train", "test"))
    number = {label: i for i, label in enumerate(sorted(set(train.labels or [])))}
    answers = [torch.tensor([number[label] for label in part.labels or []]).numpy() for part in (train, test)]
    said = knn_predict(features(method.encoder, train), answers[0], features(method.encoder, test), len(number))
    return round(100 * float((said == answers[1]).mean()), 2)


def peer(name: str, method: Any, together: bool) -> Loss:
    """The peer's loss around the modules of our method."""

    def through(network: Callable[[Tensor], Tensor], views: tuple[Tensor, ...]) -> list[Tensor]:
        if not together:
            return [network(view) for view in views]
        alike = [view for view in views if view.shape == views[0].shape]
        rest = [view for view in views if view.shape != views[0].shape]
        made = list(network(torch.cat(alike)).chunk(len(alike)))
        return made + (list(network(torch.cat(rest)).chunk(len(rest))) if rest else [])

    def project(x: Tensor) -> Tensor:
        return method.projector(method.encoder(x))

    slow = copy.deepcopy(method.encoder).requires_grad_(False)
    slow_projector = copy.deepcopy(getattr(method, "projector", None) or getattr(method, "head", None))
    if slow_projector is not None:
        slow_projector.requires_grad_(False)

    def follow(momentum: float) -> None:
        head = getattr(method, "projector", None) or method.head
        update_momentum(method.encoder, slow, momentum)
        update_momentum(head, slow_projector, momentum)

    def target(x: Tensor) -> Tensor:
        with torch.no_grad():
            return slow_projector(slow(x))  # type: ignore[misc]

    if name in ("simclr", "dcl", "barlow_twins", "vicreg"):
        criterion = {
            "simclr": lambda: NTXentLoss(method.temperature),
            "dcl": lambda: DCLLoss(method.temperature),
            "barlow_twins": lambda: lambda a, b: method.scale_loss * BarlowTwinsLoss(method.lambd)(a, b),
            "vicreg": lambda: VICRegLoss(),
        }[name]()
        head = method.expander if name == "vicreg" else method.projector
        return lambda *views, progress: criterion(*through(lambda x: head(method.encoder(x)), views))

    if name == "moco":
        queue = NTXentLoss(method.temperature, memory_bank_size=tuple(method.queue.features.shape))
        queue.memory_bank.bank.copy_(method.queue.features)

        def moco(*views: Tensor, progress: float) -> Tensor:
            follow(method.momentum)
            return queue(project(views[0]), target(views[1]))

        return moco

    if name in ("byol", "simsiam"):
        cosines = NegativeCosineSimilarity()

        def predicted(*views: Tensor, progress: float) -> Tensor:
            z = through(project, views)
            p = [method.predictor(x) for x in z] if not together else list(method.predictor(torch.cat(z)).chunk(2))
            if name == "simsiam":
                return 0.5 * (cosines(p[0], z[1].detach()) + cosines(p[1], z[0].detach()))
            if progress:
                follow(cosine(method.momentum, 1.0, progress))
            t = through(target, views)
            mean = 0.5 * (cosines(p[0], t[1]) + cosines(p[1], t[0]))
            return 4 + 4 * mean  # BYOL's equation 2 has squared distances of both directions, summed

        return predicted

    if name == "swav":
        swav_loss = SwaVLoss(method.temperature, method.sinkhorn_iterations, method.epsilon)

        def swapped(*views: Tensor, progress: float) -> Tensor:
            method.prototypes.normalise()
            scores = [method.prototypes(z) for z in through(project, views)]
            return swav_loss(scores[:2], scores[2:])

        return swapped

    if name == "dino":
        dino_loss = DINOLoss(len(method.head.directions), student_temp=method.temperature)

        def distilled(*views: Tensor, progress: float) -> Tensor:
            if progress:
                follow(cosine(method.momentum, 1.0, progress))
            said = through(lambda x: method.head(method.encoder(x)), views)
            return dino_loss(through(target, views[:2]), said, teacher_temp=0.04)

        return distilled

    if name.startswith("nnclr"):

        def equation_3(near: Tensor, p: Tensor) -> Tensor:
            scores = nn.functional.normalize(near, dim=1) @ nn.functional.normalize(p, dim=1).T / method.temperature
            return nn.functional.cross_entropy(scores, torch.arange(len(p)))

        bank = NNMemoryBankModule(size=tuple(method.queue.features.shape))
        criterion = NTXentLoss(method.temperature) if name == "nnclr_ntxent" else equation_3
        bank.bank.copy_(method.queue.features)

        def neighbours(*views: Tensor, progress: float) -> Tensor:
            z = through(project, views)
            p = [method.predictor(x) for x in z] if not together else list(method.predictor(torch.cat(z)).chunk(2))
            near_b = bank(z[1].detach(), update=False)
            near_a = bank(nn.functional.normalize(z[0].detach(), dim=1), update=True)
            return 0.5 * (criterion(near_a, p[1]) + criterion(near_b, p[0]))

        return neighbours

    assert name == "tico", name
    tico_loss = TiCoLoss(method.beta, method.rho)

    def tico(*views: Tensor, progress: float) -> Tensor:
        if progress:
            follow(cosine(method.momentum, 1.0, progress))
        return tico_loss(project(views[0]), target(views[1])) - 1.0  # the constant of 1 - cos

    return tico


if __name__ == "__main__":
    main()
