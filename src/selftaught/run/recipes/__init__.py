"""What the user decides about a command: a class a command, whose fields are its flags."""

from selftaught.run.recipes.finding import Find, Label, Odd, Select
from selftaught.run.recipes.judging import Compare, Embed, Evaluate, Export, Finetune, Predict
from selftaught.run.recipes.looking import Check, Demo, Encoders, Methods, Pack, Preview, Report, Watch
from selftaught.run.recipes.pretraining import Planning, Pretrain

__all__ = [
    "Check",
    "Compare",
    "Demo",
    "Embed",
    "Encoders",
    "Evaluate",
    "Export",
    "Find",
    "Finetune",
    "Label",
    "Methods",
    "Odd",
    "Pack",
    "Planning",
    "Predict",
    "Pretrain",
    "Preview",
    "Report",
    "Select",
    "Watch",
]
