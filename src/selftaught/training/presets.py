"""In which steps a method learns: its preset, with what a recipe, an optimiser or known weights change in it."""

from typing import Any

from selftaught.contracts.method import Method, Training
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.pretraining import IN_TRAINING
from selftaught.system import components
from selftaught.system.errors import UsageError
from selftaught.training.starting import warmed

# What an optimiser is used with where it is not the method's own: of each the steps have another size. SGD as SimSiam
# takes it (Chen, He, 2021, section 4), LARS as SimCLR does (Chen et al., 2020, section 2.1).
SUITED = {
    "adamw": {"lr": 1e-3, "weight_decay": 0.05},
    "sgd": {"lr": 0.05, "weight_decay": 1e-4},
    "lars": {"lr": 0.3, "weight_decay": 1e-6},
    "adam": {"lr": 1e-3, "weight_decay": 1e-4},
}


def training_preset(method: Method | type[Method], recipe: Pretrain) -> Training:
    """The method's preset with the recipe's changes."""
    changes = {**recipe.training, **({"lr": recipe.lr} if recipe.lr else {})}
    given = {**vars(method.preset), **components.checked("training", Training, changes)}
    return Training(**given)


def begun_with(method: type[Method], recipe: Pretrain, preset: str) -> dict[str, Any]:
    """What a run that begins changes in the method's preset, by its optimiser and by what it starts from."""
    changes = suited(method, recipe)
    lr = changes.get("lr", method.preset.lr)
    return changes | warmed(preset, lr)


def suited(method: type[Method], recipe: Pretrain) -> dict[str, Any]:
    """Learning rate and weight decay for an optimiser that is not the method's own."""
    wanted = training_preset(method, recipe).optimizer
    return {} if wanted == method.preset.optimizer else {**SUITED[wanted], "weight_decay_end": None}


def refuse_twice(recipe: Pretrain) -> None:
    """Raise UsageError where two values are given for one setting, of which only one would count."""
    for name in IN_TRAINING:
        one, other = getattr(recipe, name), recipe.training.get(name)
        if None not in (one, other) and one != other:
            flag = f"--{name.replace('_', '-')}"
            told = f"{flag} {one} and --training.{name} {other} are two values of one setting: give one of them"
            raise components.OptionError("training", name, told)


def as_begun(command: Pretrain, saved: Pretrain) -> Pretrain:
    """A command that resumes a run, without those options of --training that the run has anyway, by its preset."""
    if not command.training:
        return command
    try:
        now = components.checked("training", Training, command.training)
        before = vars(training_preset(registry.method_class(saved.method.name), saved))
    except UsageError:  # of options that there are not, or a method that is not here, more is said where all is known
        return command
    left = {name: value for name, value in command.training.items() if now[name] != before[name]}
    return command.model_copy(update={"training": left})
