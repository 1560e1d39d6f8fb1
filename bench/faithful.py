"""Are the objectives, masks and starts those of the papers? Beside formulas written out here, and beside lightly's.

Every objective gets random numbers in float64, and so does its formula as the paper or its authors write it: whole
matrices, loops, no regard for memory or for other processes. Prints the largest difference of the values and of the
gradients, as shares of the largest of them. Where lightly is installed (the [bench] extra), its losses get the same
numbers. Masks and blocks are drawn at random on both sides, so their sizes and outlines are compared on average.
Writes docs/results/faithful.json.

    python bench/faithful.py [--draws 300]
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import formulas
from selftaught.methods.objectives import clusters, contrastive, distillation, prediction, redundancy
from selftaught.methods.parts import blocks, colour, heads, masks
from selftaught.system import randomness, starts

try:
    import lightly.loss as peer
except ImportError:
    peer = None

RESULT = Path(__file__).parent.parent / "docs/results/faithful.json"
B, D, K = 12, 8, 6  # samples, features, prototypes
CPU = torch.device("cpu")
Loss = Callable[..., Tensor]


@dataclass
class Case:
    """An objective of ours, its formula, and lightly's, all of the same random numbers."""

    ours: Loss
    formula: Loss
    shapes: tuple[tuple[int, ...], ...] = ((B, D), (B, D))
    lightly: Callable[[], Loss] | None = None


def swav_ours(a: Tensor, b: Tensor) -> Tensor:
    targets = [clusters.sinkhorn(x.detach(), 0.05, 3) for x in (a, b)]
    return sum(clusters.swapped_prediction(q, x, 0.1) for q, x in zip(targets, (b, a))) / 2  # type: ignore[return-value]


def dino_ours(student: Tensor, teacher: Tensor, centre: Tensor) -> Tensor:
    answer = distillation.sharpened(teacher.detach(), centre.detach(), 0.04)
    return distillation.distilled(answer, student, 0.1).mean()


def dinov2_ours(teacher: Tensor, student: Tensor) -> Tensor:
    return distillation.distilled(clusters.sinkhorn(teacher.detach(), 0.07, 3), student, 0.1).mean()


def simdino_ours(a: Tensor, b: Tensor) -> Tensor:
    rate = redundancy.coding_rate(formulas.unit(a), 0.05)
    return distillation.half_distance(a, b.detach()).mean() - (B + D) / (B * D) * rate


def barlow_ours(a: Tensor, b: Tensor) -> Tensor:
    c = redundancy.cross_correlation(a, b)
    return (c.diagonal() - 1).square().sum() + 0.005 * redundancy.off_diagonal(c)


def vicreg_ours(a: Tensor, b: Tensor) -> Tensor:
    spread = (redundancy.variance(a) + redundancy.variance(b)) / 2
    return 25 * redundancy.invariance(a, b) + 25 * spread + redundancy.covariance(a) + redundancy.covariance(b)


def tico_ours(a: Tensor, target: Tensor) -> Tensor:
    z = formulas.unit(a)
    agreement, contrast = redundancy.tico_terms(
        z, formulas.unit(target.detach()), 0.1 * redundancy.second_moment(z.detach())
    )
    return agreement + 8.0 * contrast


def emp_ssl_ours(z: Tensor) -> Tensor:
    z = formulas.unit(z)
    agreement = 1 - torch.nn.functional.cosine_similarity(z, z.mean(dim=0, keepdim=True), dim=2).mean()
    return 200 * agreement - redundancy.coding_rate(z, 0.2).mean()


def frossl_ours(a: Tensor, b: Tensor) -> Tensor:
    z = torch.stack([torch.nn.functional.normalize(x, dim=0) for x in (a, b)])
    return redundancy.log_frobenius(z).sum() + 2 * 2 * D * (z - z.mean(dim=0)).square().mean()


def visreg_ours(x: Tensor, directions: Tensor) -> Tensor:
    center = x.mean(dim=0).square().mean()
    return redundancy.scale_gap(x) + redundancy.shape_gap(x, directions.detach()) + center


def mae_ours(predicted: Tensor, target: Tensor) -> Tensor:
    hidden = (torch.arange(target.shape[1]) % 2 == 0).expand(len(target), -1)
    return prediction.hidden_error(predicted, prediction.normalised_patches(target.detach()), hidden)


def whole_error(kind: Any) -> Loss:
    return lambda p, t: prediction.weighted_error(p, t.detach(), torch.ones_like(p[:, :1]), kind)


def nepa_ours(said: Tensor, embedded: Tensor) -> Tensor:
    return distillation.negative_cosine(said[:, :-1].flatten(0, 1), embedded.detach()[:, 1:].flatten(0, 1))


def bootleg_ours(predicted: Tensor, target: Tensor) -> Tensor:
    layers = [prediction.normalised_tokens(layer.detach(), "layer") for layer in target.unbind(dim=2)]
    return whole_error("smooth_l1")(predicted.flatten(2), torch.cat(layers, dim=2))


def lightly_wmse() -> Loss:
    whitening = peer.Whitening2d(num_features=D, track_running_stats=False, eps=0.0).double()
    return lambda x, weight: (whitening(x) * weight.detach()).sum()


def cases() -> dict[str, Case]:
    c, d, r = contrastive, distillation, redundancy
    few, bank = ((B,), (B, 20)), ((B, D), (B, D), (20, D))
    return {
        "simclr": Case(lambda a, b: c.nt_xent(a, b, 0.5), formulas.nt_xent, lightly=lambda: peer.NTXentLoss(0.5)),
        "dcl": Case(
            lambda a, b: c.dcl(a, b, 0.5),
            lambda a, b: formulas.nt_xent(a, b, decoupled=True),
            lightly=lambda: peer.DCLLoss(0.5),
        ),
        "dclw": Case(
            lambda a, b: c.dcl(a, b, 0.5, 0.5),
            lambda a, b: formulas.nt_xent(a, b, decoupled=True, sigma=0.5),
            lightly=lambda: peer.DCLWLoss(0.5, 0.5),
        ),
        "mocov3": Case(lambda a, b: c.info_nce(a, b, 0.2), formulas.ctr),
        "moco": Case(
            lambda q, k, s: c.info_nce_with_queue(q, k, formulas.unit(s.detach()), 0.2), formulas.with_queue, bank
        ),
        "instance_discrimination": Case(lambda a, b: c.noise_contrastive(a, b, 0.5), formulas.nce, few),
        "pirl": Case(
            lambda a, b: c.told_apart(a.tanh(), b.tanh(), 0.07), lambda a, b: formulas.pirl(a.tanh(), b.tanh()), few
        ),
        "alignment": Case(
            lambda a, b: c.alignment_loss(a, b, 2.0),
            lambda a, b: (formulas.unit(a) - formulas.unit(b)).norm(dim=1).pow(2).mean(),
        ),
        "uniformity": Case(lambda a: c.uniformity_loss(a, 2.0), formulas.uniformity, ((B, D),)),
        "triplet": Case(lambda a, b: c.semi_hard_triplet(a, b, 0.2), formulas.triplet),
        "byol": Case(
            d.cosine_distance,
            lambda a, b: (formulas.unit(a) - formulas.unit(b)).square().sum(dim=1).mean(),
            lightly=lambda: lambda a, b: 2 + 2 * peer.NegativeCosineSimilarity()(a, b),
        ),
        "simsiam": Case(
            d.negative_cosine,
            lambda a, b: -(formulas.unit(a) * formulas.unit(b)).sum(dim=1).mean(),
            lightly=lambda: peer.NegativeCosineSimilarity(),
        ),
        "dino": Case(dino_ours, formulas.dino, ((B, K), (B, K), (K,))),
        "dinov2": Case(dinov2_ours, formulas.sinkhorn_distilled, ((B, K), (B, K))),
        "dinov2, koleo": Case(r.koleo, formulas.koleo, ((B, D),), lightly=lambda: peer.KoLeoLoss()),
        "simdino": Case(simdino_ours, formulas.simdino),
        "swav": Case(
            swav_ours,
            formulas.swav,
            ((B, K), (B, K)),
            lightly=lambda: lambda a, b: peer.SwaVLoss(0.1, 3, 0.05)([a, b], []),
        ),
        "msn": Case(lambda s: clusters.mean_entropy(s, 0.1), formulas.evenness, ((B, K),)),
        "barlow_twins": Case(barlow_ours, formulas.barlow, lightly=lambda: peer.BarlowTwinsLoss(0.005)),
        "vicreg": Case(vicreg_ours, formulas.vicreg, lightly=lambda: peer.VICRegLoss()),
        "wmse": Case(lambda x, w: (r.whitened(x, 0.0) * w.detach()).sum(), formulas.whitened, lightly=lightly_wmse),
        "mmcr": Case(r.nuclear_norm, lambda x: torch.linalg.eigvalsh(x.T @ x).sqrt().sum(), ((B, D),)),
        "lejepa": Case(lambda x, s: r.sigreg(x, s.detach()), formulas.sigreg, ((B, D), (D, 5))),
        # lightly 1.6 adds the coding rate where the paper takes it off, and 1e-4 to the deviations of VISReg.
        "emp_ssl": Case(emp_ssl_ours, formulas.emp_ssl, ((3, B, D),)),
        "frossl": Case(frossl_ours, formulas.frossl, lightly=lambda: lambda a, b: peer.FroSSLLoss()([a, b])),
        "visreg": Case(visreg_ours, formulas.visreg, ((B, D), (D, 5))),
        "tico": Case(
            tico_ours,
            formulas.tico,
            lightly=lambda: lambda a, b: peer.TiCoLoss(0.9, 8.0)(formulas.unit(a), formulas.unit(b.detach())) - 1.0,
        ),
        "mae": Case(mae_ours, formulas.mae, ((B, 5, D), (B, 5, D))),
        "simmim": Case(whole_error("l1"), lambda p, t: (p - t.detach()).abs().mean()),
        "nepa": Case(nepa_ours, formulas.nepa, ((B, 5, D), (B, 5, D))),
        "bootleg": Case(bootleg_ours, formulas.layered, ((B, 4, 3, D), (B, 4, 3, D))),
        "ijepa, data2vec": Case(whole_error("smooth_l1"), formulas.huber),
    }


def differences(case: Case, other: Loss, seed: int) -> dict[str, float]:
    """Of values, and of gradients by the inputs, each as a share of the largest of `other`."""
    found: list[tuple[Tensor, list[Tensor]]] = []
    for loss in (case.ours, other):
        draws = torch.Generator().manual_seed(seed)
        inputs = [torch.randn(*shape, generator=draws, dtype=torch.float64).requires_grad_() for shape in case.shapes]
        value = loss(*inputs)
        given = torch.autograd.grad(value, inputs, allow_unused=True)
        zeros = [torch.zeros_like(x) if slope is None else slope for x, slope in zip(inputs, given)]
        found.append((value.detach(), zeros))
    (value, slopes), (wanted, wanted_slopes) = found
    most = max(float(slope.abs().max()) for slope in wanted_slopes)
    gap = max(float((a - b).abs().max()) for a, b in zip(slopes, wanted_slopes))
    return {"value": abs(float(value - wanted)) / max(abs(float(wanted)), 1e-300), "gradient": gap / max(most, 1e-300)}


def objectives() -> dict[str, Any]:
    rows = {}
    for name, case in cases().items():
        rows[name] = {"formula": _worst(case, case.formula)}
        if peer and case.lightly:
            rows[name]["lightly"] = _worst(case, None)
        print(f"{name:25}", json.dumps(rows[name]), flush=True)
    return rows


def _worst(case: Case, other: Loss | None) -> dict[str, float]:
    """The largest differences of five draws from a loss, or from lightly's, which may remember what came before."""
    found = [differences(case, other or case.lightly(), seed) for seed in range(5)]  # type: ignore[misc]
    return {key: float(f"{max(each[key] for each in found):.2g}") for key in found[0]}


def outline(hidden: np.ndarray) -> float:
    """Sides of cells (N, h, w) between hidden and shown, on average."""
    return float(sum(np.diff(hidden.astype(int), axis=axis).__abs__().sum() for axis in (1, 2)) / len(hidden))


def drawn(count: int) -> dict[str, Any]:
    """Sizes of I-JEPA's contexts, and hidden tokens and outlines of blockwise masks, on average over `count` draws."""
    rng, rows = np.random.default_rng(0), {}
    how = (4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0))
    for side, batch in ((8, 32), (14, 16)):
        row = {"authors": float(np.mean([formulas.authors_contexts(side, batch, rng) for _ in range(count)]))}
        for kind in ("authors", "paper"):
            sizes = []
            for step in range(count):
                with randomness.at(0, step, slice(0, batch)):
                    sizes.append(blocks.context_and_targets(batch, (side, side), *how, kind, CPU).context.shape[1])
            row[f"ours, {kind}"] = float(np.mean(sizes))
        rows[f"tokens of a context, {side} x {side}"] = row
        wanted = round(0.6 * side * side)
        sets = {"authors": np.stack([formulas.beit_mask(side, wanted, rng) for _ in range(count)])}
        with randomness.at(0, 0, slice(0, count)):
            sets |= {f"ours, {name}": made(count, (side, side), 0.6, CPU).numpy() for name, made in masks.MASKS.items()}
        rows[f"hidden of {wanted}, {side} x {side}"] = {name: float(made.sum() / count) for name, made in sets.items()}
        rows[f"their outline, {side} x {side}"] = {name: outline(made) for name, made in sets.items()}
    for name, row in rows.items():
        print(f"{name:30}", json.dumps({key: round(value, 1) for key, value in row.items()}), flush=True)
    return rows


def started() -> dict[str, Any]:
    """Fixed positions beside their formula, and how heads and colours start."""
    grid, width = (14, 14), 384
    slow = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    rows, columns = (np.arange(14.0).repeat(14), np.tile(np.arange(14.0), 14))
    wanted = np.concatenate(
        [wave(axis[:, None] * slow) for axis in (rows, columns) for wave in (np.sin, np.cos)], axis=1
    )
    torch.manual_seed(0)
    deviations = {k: float(heads.DistillationHead(8, 4096, 16, 256, last_layer=k).directions.std()) for k in LAST}
    found = {
        "sine positions": float(np.abs(starts.sine_positions(grid, width).numpy() - wanted).max()),
        "deviation of DINO's last layer": {"authors": 256**-0.5 / 3**0.5, **deviations},
        "colour bins": {"sampled": len(colour.gamut()), "all": len(colour.gamut(whole=True)), "authors": 313},
    }
    print(json.dumps(found))
    return found


LAST: tuple[Any, ...] = ("normal", "uniform")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300)
    asked = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    versions = {"torch": torch.__version__, **({"lightly": _version()} if peer else {})}
    result = {"versions": versions, "objectives": objectives(), "draws": drawn(asked.draws), "starts": started()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def _version() -> str:
    import lightly

    return lightly.__version__


if __name__ == "__main__":
    main()
