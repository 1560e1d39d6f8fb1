"""What a file of settings says to another run: of a run's own recipe.yaml, what was asked, less what came of that."""

from collections.abc import Collection, Mapping
from typing import Any

from selftaught.contracts import modality
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark, Recipe, is_blank
from selftaught.run.recipes.pretraining import IN_TRAINING
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

PACED_BY = {"preset", "method", "training.optimizer"}  # what decides a pace where nobody names it
OF_INIT = {"preset", "normalise", "statistics"}  # likewise, by --init; of a run without it they say nothing


def handed_over(values: Mapping[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a file for a run whose command names `given` besides.

    A plan, which has the fingerprint of its data, holds what was decided beside what was asked. It stands, so that a
    run is begun again as it was, but where it follows from what is asked otherwise now; and of how long to train, what
    was asked alone, as steps are counted anew.
    """
    left_out: set[str] = {*Recipe.marked(Mark.ONE_RUN)}
    values = _once(values, given)
    if not values.get("fingerprint"):
        return {name: value for name, value in values.items() if name not in left_out}
    if any(values.get(name) is not None for name in Pretrain.marked(Mark.LENGTH) if name != "steps"):
        left_out.add("steps")
    if "init" in given and not values.get("init"):
        left_out |= OF_INIT
    # An empty text was taken for nothing once.
    kept = {name: value for name, value in values.items() if name not in left_out and not is_blank(value)}
    if kept.get("training") and not PACED_BY.isdisjoint(given):
        decided = _pace(values)
        kept["training"] = {n: v for n, v in kept["training"].items() if n not in decided or decided[n] != v}
    if isinstance(kept.get("encoder"), dict) and kept["encoder"].get("options"):
        kept["encoder"] = _encoder(values)
    return kept


def _once(values: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The settings of a file without those that the command gives by their other name.

    In a plan the one that is no option of --training was the one that counted.
    """
    kept, training = dict(values), values.get("training")
    for name in IN_TRAINING:
        if f"training.{name}" in given:
            kept.pop(name, None)
        elif isinstance(training, dict) and (name in given or (kept.get("fingerprint") and kept.get(name) is not None)):
            training = kept["training"] = {option: value for option, value in training.items() if option != name}
    return kept


def _encoder(plan: Mapping[str, Any]) -> Any:
    """A plan's encoder without options that do nothing, which a run of before there was a check may have been given."""
    from selftaught.training.starting import as_built  # imports torch, likewise

    try:
        recipe = Pretrain.parse({name: plan[name] for name in ("data", "method", "encoder", "size") if name in plan})
        assert recipe.encoder
        part = as_built(recipe.encoder, modality.of(recipe.data), recipe.size)
    except UsageError:  # what is not here, or is refused where all is known
        return plan["encoder"]
    if left := recipe.encoder.options.keys() - part.options.keys():
        names = " and ".join(f"encoder.{name}" for name in sorted(left))
        say(f"note: {names} did nothing in the run of this recipe.yaml, as {part.name} has no such option: left out")
    return part.model_dump(mode="json")


def _pace(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan's own preset and optimiser decide of its training."""
    from selftaught.training.presets import begun_with  # imports torch, which most files of settings go without

    recipe = Pretrain.parse({name: plan[name] for name in ("data", "method", "training", "lr") if name in plan})
    try:
        method = registry.method_class(recipe.method.name)
    except UsageError:  # somebody's class, or a plug-in's, in whose place another is asked for
        say(f"note: {printable(recipe.method.name)} is not here: the pace of its run is kept as if asked for")
        return {}
    return begun_with(method, recipe, plan.get("preset") or "own")
