"""Whether a network learns, watched without labels: scores of a fixed set of samples, and what they say in words."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.method import Method
from selftaught.methods.parts.teacher import Teacher
from selftaught.system import distributed, randomness
from selftaught.training.adapting import used_weights
from selftaught.training.engine import Forward
from selftaught.training.job import Job
from selftaught.training.looking.features import estimate_norms, features, norms_of
from selftaught.training.looking.scores import alignment, alpha_req, feature_spread, idest, lidar, rankme, uniformity

LOOKS = 100  # at most, over a run
PROBED, COMPARED = 1024, 256  # samples that scores are taken of, and those that are seen in several views as well
VIEWS = 8  # of each sample, in a closer look
WIDEST = 4096  # numbers in an answer whose directions are counted; reconstructions have more
PATIENCE = 5  # looks in a row at chance level before that is said aloud
NEAR = 0.995  # of the chance level: nothing has been learnt
SHRUNK = 0.1  # of its start: features crowd together
FEW = 0.1  # of the most there were: features use few directions; those of mae come down to a fifth and are good
STILL = 3e-4  # of the weights' size: what has moved them less has not taught them; a first epoch moves them by more
FALLEN = 0.05  # of the loss at the first look, which something must have learnt to get below
SKETCHED = 64  # numbers of each weight that are remembered, to tell how far it has moved
ALIKE, ROW = 0.23, 3  # of the features' spread, and for so many looks in a row: answers no longer tell samples apart

Scores = dict[str, float]


class Health:
    """Looks at a run's network now and then: on plain views of the same samples each time, in eval mode.

    Nothing it does changes the run: statistics and state are as before afterwards, and no random number is used up.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        # As the run began: of one that goes on, its checkpoint has it, unless that is older than this measure.
        now, begun = sketched(job.shown.encoder), job.begun.get("weights")
        self.begun = {**job.begun, "weights": now if begun is None or begun.shape != now.shape else begun}
        samples = job.samples
        rows, self.rows = watched(samples.count)
        self.probed, self.compared = samples.subset(rows), samples.subset(self.rows)
        epochs = max(1, job.recipe.steps // job.batches.steps_per_epoch)
        self.every = job.batches.steps_per_epoch * math.ceil(epochs / LOOKS)
        self._statistics: list[Tensor] = []  # of batch norms, as they were measured last
        self._measured: int | None = None  # for the weights as after so many moves
        # What a look saw of them, and after how many moves: plain views of all, and two others of those compared.
        self._seen: tuple[int | None, NDArray[Any], list[NDArray[Any]]] = (None, np.empty(0), [])

    def due(self, step: int) -> bool:
        """Whether it is time to look: after every epoch, or every few where there are many."""
        return step % self.every == 0

    def look(self) -> Scores:
        """Label-free scores of the encoder as it is now; none where its features are not finite."""
        with undisturbed(self.job):
            answers = self._answers()
            encoder = self.encoder()
            z = features(encoder, self.probed)
            if not np.isfinite(z).all():
                return {}
            drift = self._drift(z)
            pair = [features(encoder, self.compared, view="strong", draw=draw) for draw in (0, 1)]
            self._seen = (self.job.moves, z, pair)
            scores = {
                "feature_spread": feature_spread(z),
                "rankme": rankme(z),
                "alpha_req": alpha_req(z),
                "alignment": alignment(*pair),
                "uniformity": uniformity(z),
                **answers,
                **drift,
            }
            for teacher in self.job.shown.modules():
                if isinstance(teacher, Teacher) and isinstance(teacher.layers[0], Encoder):
                    scores["teacher_distance"] = alignment(z, features(teacher.layers[0], self.probed))
        return _rounded(scores) | self._moved()

    def _drift(self, z: NDArray[Any]) -> Scores:
        """How far the features (N, dim) of a run that goes on from known weights have turned from what they were.

        1 less the mean cosine between the two, both without the mean that they had: 0 as the run began, about 1 where
        nothing is left of them.
        """
        if not self.job.recipe.init:
            return {}
        now = torch.from_numpy(z[:: max(1, len(z) // COMPARED)][:COMPARED])
        first = self.begun.setdefault("features", now)
        if first.shape != now.shape:
            return {}
        mean = first.mean(dim=0)
        return {"drift": 1 - float(torch.cosine_similarity(now - mean, first - mean).mean())}

    def _moved(self) -> Scores:
        """How far the encoder's weights are from where the run began, as a share of their size then."""
        if not len(begun := self.begun["weights"]):
            return {}
        moved = (sketched(self.job.shown.encoder) - begun).norm() / begun.norm().clamp(min=1e-12)
        return {"weights_moved": float(f"{float(moved):.4g}")}

    def closer_look(self) -> Scores:
        """The scores that take longest: LiDAR, of eight views of each sample, and the intrinsic dimension.

        None where features are not finite. What a look at the same weights has seen is not made again.
        """
        with undisturbed(self.job):
            encoder = self.encoder()
            moves, z, seen = self._seen
            if moves != self.job.moves:
                z, seen = features(encoder, self.probed), []
            if not np.isfinite(z).all():
                return {}
            others = range(len(seen), VIEWS)
            seen = [*seen, *(features(encoder, self.compared, view="strong", draw=draw) for draw in others)]
        return _rounded({"lidar": lidar(np.stack(seen, axis=1)), "idest": idest(z)})

    def encoder(self) -> Encoder:
        """The encoder as it is to be used, which is on whole samples: only to be called while it is undisturbed.

        Statistics of batch norm that a short run has hardly moved, or that are of parts of samples, would scale the
        features of whole ones wrongly; a baseline's are measured, too. Once after each step, whoever asks for them.
        """
        encoder = self.job.shown.encoder
        own = [buffer for norm in norms_of(encoder) for buffer in norm.buffers()]
        if self.is_measured:
            for buffer, value in zip(own, self._statistics, strict=True):
                buffer.copy_(value)
            return encoder.eval()
        estimate_norms(encoder, self.probed)
        self._statistics, self._measured = [buffer.clone() for buffer in own], self.job.moves
        return encoder

    @property
    def is_measured(self) -> bool:
        """Whether statistics are known of the weights as they are now."""
        return self._measured == self.job.moves

    @torch.no_grad()
    def _answers(self) -> Scores:
        """How far apart the answers to different samples are, and over how many directions, of the best head.

        A network can give every sample the same answer while its features still differ: its heads collapse first.
        Maps are no such answers: what belongs at a place of a picture can be read off the picture, and is mostly alike.
        """
        job, spreads, ranks = self.job, [0.0], [0.0]

        def keep(head: nn.Module, given: Any, answer: Any) -> None:
            if isinstance(answer, Tensor) and answer.is_floating_point() and answer.ndim in (2, 3):
                z = answer.detach().flatten(1).float().cpu().numpy()
                if not np.isfinite(z).all():
                    return
                spreads.append(feature_spread(z))
                ranks.append(rankme(z) if z.shape[1] <= WIDEST else 0.0)

        for norm in norms_of(job.shown):
            norm.train(len(self.rows) > 1)  # else they are those of a batch long ago, and its answers another network's
        hooks = [head.register_forward_hook(keep) for head in _heads(job.shown)]
        try:
            with randomness.at(job.recipe.seed, 0, slice(0, len(self.rows))):
                Forward(job.shown, job.engine)(*job.batches.views_of(self.rows))
        finally:
            for hook in hooks:
                hook.remove()
        return {"answer_spread": max(spreads), "answer_rank": max(ranks)} if len(spreads) > 1 else {}


def watched(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the samples that scores are taken of, out of so many, and of those that are seen in several views."""
    probed = min(count, PROBED, max(COMPARED, count // 10))
    rows = np.linspace(0, count - 1, probed).astype(np.int64)
    return rows, rows[:: max(1, probed // COMPARED)][:COMPARED]


@torch.no_grad()
def sketched(encoder: nn.Module) -> Tensor:
    """Some of the numbers in each weight that an encoder learns, on the CPU (N,); not of biases and norms.

    A weight to which thin matrices are added counts as it is used, as these begin at nothing.
    """
    learnt = [weight.flatten() for weight in used_weights(encoder) if weight.ndim > 1]
    picked = [weight[:: 1 + len(weight) // SKETCHED].float().cpu() for weight in learnt]
    return torch.cat([torch.zeros(0), *picked])


def verdict(looks: Sequence[Scores], start: Scores, chance: float | None, lr: float | None = None) -> tuple[str, str]:
    """What the looks so far say: ("learning" | "hardly moving" | "at chance" | "collapsing", a line for people).

    Each look holds the scores and, as "loss", the mean loss since the look before. lr is the learning rate that has
    been reached, None before that.
    """
    now, last = looks[-1], looks[-ROW:]
    if len(last) == ROW and all(_alike(look) < ALIKE for look in last):
        return "collapsing", (
            f"collapsing: all samples get nearly the same answer (spread {now['answer_spread']:.3f} where features "
            f"spread {now['feature_spread']:.3f}, for {ROW} looks); likely causes: a target that follows too fast, a "
            "learning rate too high, a loss that nothing opposes"
        )
    if (share := _share(now, start)) < SHRUNK:
        return "collapsing", (
            f"collapsing: features crowd together (spread {share:.2f} of its start); likely causes: a learning rate "
            "too high, a weight decay too strong, a loss that nothing opposes"
        )
    ranks = [look.get("rankme", 0.0) for look in (start, *looks)]
    if len(looks) >= ROW and all(rank < FEW * max(ranks) for rank in ranks[-ROW:]):
        return "collapsing", (
            f"collapsing: features use {ranks[-1]:.1f} directions of {max(ranks):.1f} there were (effective rank, for "
            f"{ROW} looks); likely causes: a learning rate too high, a temperature too low, stale targets"
        )
    if lr is not None and len(last) == ROW and now.get("weights_moved", 1.0) < STILL and not _fallen(looks):
        return "hardly moving", (
            f"the weights hardly move: by {now['weights_moved']:.1g} of their size since the start, and the loss does "
            f"not fall ({now['loss']:.4g}, {looks[0]['loss']:.4g} at first): raise --lr (now {lr:g})"
        )
    if lr is not None and not any(look.get("weights_moved", 1.0) for look in looks):
        return "hardly moving", (
            "nothing is learnt: the encoder's weights are as they were at the start; likely causes: a single step, "
            "whose learning rate is 0, or a rate far too low"
        )
    last = looks[-PATIENCE:]
    if chance and len(last) == PATIENCE and all(look["loss"] > NEAR * chance for look in last):
        return "at chance", (
            f"at chance level for {PATIENCE} looks (loss {now['loss']:.4g}, {chance:.4g} with nothing learnt): the "
            "network is not learning; likely causes: a learning rate too low or too high, a temperature too high, a "
            "task too hard for these samples"
        )
    return "learning", ""


def sound(looks: Sequence[Scores], start: Scores) -> bool:
    """Whether the last look alone shows nothing of a collapse; `verdict` waits for some signs to last."""
    now, most = looks[-1], max(look.get("rankme", 0.0) for look in (start, *looks))
    return _alike(now) >= ALIKE and _share(now, start) >= SHRUNK and now.get("rankme", 0.0) >= FEW * most


def _share(look: Scores, start: Scores) -> float:
    """How far features spread, as a share of how far they did at the start; 1 where nothing tells of that."""
    if not start:
        return 1.0
    return look["feature_spread"] / max(start.get("feature_spread", 0.0), 1e-12)


def _alike(look: Scores) -> float:
    """How far answers spread as a share of how far features do; heads that tell samples apart spread them further."""
    return look.get("answer_spread", math.inf) / max(look["feature_spread"], 1e-12)


def _fallen(looks: Sequence[Scores]) -> bool:
    """Whether the loss of the last looks is below that of the first."""
    first = looks[0]["loss"]
    return first - float(np.mean([look["loss"] for look in looks[-ROW:]])) > FALLEN * abs(first)


def _heads(method: Method) -> Iterator[nn.Module]:
    """What answers the question: the modules of a method, and of one inside it, besides encoders and slow copies."""
    for child in method.children():
        if isinstance(child, Method):
            yield from _heads(child)
        elif not isinstance(child, Encoder | Teacher):
            yield child


def _rounded(scores: Scores) -> Scores:
    """Without those that are not finite, which JSON does not know."""
    return {name: round(score, 4) for name, score in scores.items() if np.isfinite(score)}


@contextmanager
def undisturbed(job: Job) -> Iterator[None]:
    """What is shown as it is now, in eval mode, with every buffer and torch's generators put back.

    Nothing is compiled for so short a visit. Statistics of batch norm are measured in training mode, where dropout
    draws.
    """
    job.renew()
    method = job.shown
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    devices = {weight.device.index for weight in method.parameters() if weight.device.type == "cuda"}
    method.eval()
    try:
        with distributed.alone(), torch.compiler.set_stance("force_eager"), torch.random.fork_rng(devices=devices):
            yield
    finally:
        method.train()
        with torch.no_grad():
            for name, buffer in method.named_buffers():
                buffer.copy_(before[name])
