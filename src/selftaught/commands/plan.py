"""Foreseeing a pre-training on machines that are not here."""

from selftaught.contracts import modality
from selftaught.run.recipes import Planning
from selftaught.system.errors import UsageError
from selftaught.system.interruption import stopping
from selftaught.training.resolve import preflight
from selftaught.training.scale.fleet import fleet_of
from selftaught.training.scale.foreseeing import foreseen, samples_of
from selftaught.training.scale.outlook import Outlook
from selftaught.training.starting import keeping, taking_over


def plan(recipe: Planning) -> Outlook:
    """What a run takes on the machines that are named. Raises UsageError for what cannot be, DataError for DATA."""
    fleet, kind = fleet_of(recipe), modality.of(recipe.data)
    command = Planning.model_validate(keeping(taking_over(recipe, kind), kind))
    preflight(command, None, kind)
    if command.suppress or command.predict:
        added = "a pass of the encoder more, by about half of what two views take"
        raise UsageError(f"plan does not reckon with what --suppress and --predict add, {added}: leave them out")
    with stopping(recipe.time_limit) as stop:
        samples, source = samples_of(command, kind, fleet, stop)
        return foreseen(command, samples, source, fleet, stop)
