"""What runs like the one that is asked for have brought, on few images or from known weights, and others more."""

import math
from collections.abc import Sequence

from selftaught.contracts.modality import Modality
from selftaught.run.plan import Plan
from selftaught.system.measured import Brought, known

FEW = 10_000  # images at most: of more, more is learnt
MARGIN = 0.01  # that something else must have told more, to be named
LIKE = 10  # times as many images, or as few, tell nothing any more
VIEWS = "--views"


def advice(plan: Plan, kind: Modality, count: int) -> list[str]:
    """What is to be expected of a run on so many samples, two lines at most for a set; none where nothing is measured.

    Of a run from nothing on few images, or of one that goes on from weights that others have taught.
    """
    nothing, weights = ([row for row in known().brought if row.weights == begun] for begun in (False, True))
    if plan.teacher or not kind.PRETRAINED:
        return []
    if plan.init:
        on = _nearest(weights, count) if plan.preset == "warm" else []
        return [line for near in on for line in _going_on(near, plan)]
    if count > FEW:
        return []
    said = [_from_nothing(near, plan) for near in _nearest(nothing, count)]
    return said + [line for near in _nearest(weights, count) for line in _from_weights(near)]


def _nearest(rows: Sequence[Brought], count: int) -> list[list[Brought]]:
    """Those of each set that has the most nearly so many images, if about so many, what told the most of it first."""
    apart = {(row.set, row.images): max(row.images / count, count / row.images) for row in rows}
    least = min(apart.values(), default=math.inf)
    sets = [of for of in apart if apart[of] == least <= LIKE]
    return [sorted((row for row in rows if (row.set, row.images) == of), key=lambda row: -row.told) for of in sets]


def _from_nothing(near: Sequence[Brought], plan: Plan) -> str:
    """What the plan's method has told, on the plan's encoder if that was tried, and what told more."""
    own = [row for row in near if row.method == plan.method.name]
    first = min(own, key=lambda row: (row.encoder != plan.encoder.name, VIEWS in row.flags), default=None)
    line = f"of {_set(near[0])} raw pixels told {_share(near[0].pixels)}"
    if first:
        line += f", {first.method} from nothing on {first.encoder} {_share(first.told)}{_by_views(first, near)}"
    if near[0].told > (first.told if first else near[0].pixels) + MARGIN:
        line += f"; the most from nothing, {_share(near[0].told)}, by {near[0].flags}"
    return line


def _by_views(row: Brought, near: Sequence[Brought]) -> str:
    """What the same method and network have told more by, where that is views of their own."""
    alike = (r for r in near[1:] if (r.method, r.encoder) == (row.method, row.encoder) and VIEWS in r.flags)
    best = next(alike, None)
    if VIEWS in row.flags or best is None or best.told <= row.told + MARGIN:
        return ""
    return f" ({_share(best.told)} with {best.flags[best.flags.index(VIEWS) :]})"


def _from_weights(near: Sequence[Brought]) -> list[str]:
    """What has been told by weights of others, or after going on from them."""
    if near[0].told <= near[0].pixels + MARGIN:
        return []
    best = near[0]
    way = f"by {best.flags}" if best.method else f"as they are; go on from such by {best.flags}"
    told = f"weights that others have taught told {_share(best.told)} of {_set(best)}"
    return [f"{told}, raw pixels {_share(best.pixels)}, {way}"]


def _going_on(near: Sequence[Brought], plan: Plan) -> list[str]:
    """What weights of others have told as they are, what after the plan's method went on from them, and what more."""
    frozen = next((row for row in near if row.method is None), None)
    if frozen is None:
        return []
    shown = plan.steps * plan.batch_size
    tried = [row for row in near if (row.method, row.adapt) == (plan.method.name, plan.adapt) and row.samples]
    own = min(tried, key=lambda row: abs(math.log(shown / (row.samples or 1))), default=None)
    line = f"of {_set(frozen)} weights that others have taught told {_share(frozen.told)} as they are"
    if own:
        line += f", {_share(own.told)} after {own.samples:,} samples of going on with {own.method}"
    if near[0].told > (own or frozen).told + MARGIN:
        line += f"; the most, {_share(near[0].told)}, by {near[0].flags}" if near[0].method else "; nothing told more"
    return [line]


def _set(row: Brought) -> str:
    return f"{row.set} ({row.images:,} images, {row.labels})"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
