"""Commands that only put together what lower rooms do; each imports what it needs when it is carried out."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selftaught.data.sources.handed import MARK
from selftaught.run.folder import RunFolder
from selftaught.run.layout import PAGE, is_classifier
from selftaught.run.quantities import HUB
from selftaught.run.recipes import Compare, Export, Predict, Pretrain, Report
from selftaught.run.recipes.fields import Mark
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

if TYPE_CHECKING:
    from torch.nn import Module

    from selftaught.commands.hub import Sent
    from selftaught.contracts.samples import Samples
    from selftaught.judging.comparison import Comparison
    from selftaught.judging.predict import Predictions
    from selftaught.training.hooks import Hooks
    from selftaught.training.onlooker import Onlooker


def pretrain(
    recipe: Pretrain,
    module: "Module | None" = None,
    opened: "Samples | None" = None,
    hooks: "Hooks | None" = None,
) -> RunFolder:
    """Teach an encoder without labels, while those of --watch-labels look on; see `training.pretrain`."""
    from selftaught.contracts import modality
    from selftaught.training.hooks import Hooks
    from selftaught.training.launch import launched, wanted

    if recipe.watched_by and opened is None:  # said before hours of reading
        from selftaught.judging.watching import refuse_other

        refuse_other(recipe, modality.of(recipe.data))
    if (count := wanted(recipe)) > 1:
        if module is not None or opened is not None or hooks or _handed(recipe):
            raise UsageError(
                f"--devices {recipe.devices} starts processes, which know a network, a method and data by name, and no "
                "functions of yours: name them, or start your script with torchrun"
            )
        return launched(recipe, count)
    from selftaught.training.pretrain import pretrain as carry_out  # takes seconds; who starts others does not

    return carry_out(recipe, module, opened, _invited, hooks or Hooks())


def _handed(recipe: Pretrain) -> bool:
    """Whether data of a recipe is an object in this process, or its method a class."""
    data = [str(getattr(recipe, name)) for name in recipe.marked(Mark.DATA)]
    return any(name.startswith(MARK) for name in (*data, recipe.method.name))


def _invited(recipe: Pretrain, samples: "Samples") -> "Onlooker | None":
    """Who looks on: the labels that are named; only then what judges is imported."""
    if not recipe.watched_by:
        return None
    from selftaught.judging.watching import invited

    return invited(recipe, samples.preparation)


def compare(recipe: Compare) -> "Comparison":
    """Rank methods, with a page that is written anew after every run."""
    from selftaught.judging.compare import compare as carry_out
    from selftaught.reporting.compare_page import write_page
    from selftaught.system.places import placed

    if placed(os.environ):
        raise UsageError("compare starts its processes itself, by --devices: start it without torchrun or srun")
    return carry_out(recipe, write_page)


def predict(recipe: Predict) -> "Predictions":
    """What a classifier says of new samples."""
    from selftaught.judging.predict import predict as carry_out

    return carry_out(**recipe.model_dump(exclude={"classifier"}), folder=recipe.classifier)


def export(recipe: Export) -> "tuple[Path, float] | Sent":
    """The file of an encoder or a classifier, and how far its outputs are from the network's; or what is sent."""
    from selftaught.run.export import load_encoder, warn_of_cut

    warn_of_cut(recipe.run)
    if recipe.to.startswith(HUB):
        from selftaught.commands.hub import publish

        return publish(recipe)
    if recipe.upload or recipe.license:
        raise UsageError("--upload and --license are for --to hub:USER/NAME")
    from selftaught.run.classifier import load_classifier
    from selftaught.run.meaning import OUTPUTS
    from selftaught.run.onnx import is_ours, to_onnx
    from selftaught.run.pte import to_executorch
    from selftaught.system.outputs import refuse_others
    from selftaught.system.written import nobodys

    folder, name = Path(recipe.run), "model.onnx" if recipe.to == "onnx" else "model.pte"
    if recipe.out:  # in the run folder the name is ours
        refuse_others(Path(recipe.out), "--out", recipe.overwrite, is_ours if recipe.to == "onnx" else nobodys)
    if is_classifier(folder):
        network: Any = load_classifier(folder)
        place, output = folder / "classifier", OUTPUTS[network.meaning.task]
    else:
        network, place, output = load_encoder(folder), folder / "encoder", "features"
    file = Path(recipe.out) if recipe.out else place / name
    return file, to_onnx(network, file, output) if recipe.to == "onnx" else to_executorch(network, file)


def report(recipe: Report) -> Path:
    """The page about some runs."""
    from selftaught.contracts import modality
    from selftaught.reporting.run_page import write_report
    from selftaught.system import outputs, written

    if recipe.out and Path(recipe.out).is_dir():
        shown = printable(recipe.out)
        raise UsageError(f"--out {shown} is a folder; name a file, such as {shown}/report.html")
    told = written.page("report", "selftaught")
    kinds = {"--out": dict.fromkeys((".html", ".htm"), told)}
    outputs.refuse_taken({"--out": recipe.out}, recipe.overwrite, kinds, keeps=(PAGE,))
    runs = [RunFolder.open(run) for run in recipe.runs]
    labels = modality.of(runs[0].recipe.data).labels_by_key(recipe.labels) if recipe.labels else {}
    folders = [run.folder for run in runs]
    if not recipe.out:
        runs[0].own(PAGE)
        return write_report(folders, runs[0].folder / PAGE, labels=labels)
    with outputs.brought(Path(recipe.out), "--out", recipe.overwrite, told) as temporary:
        write_report(folders, temporary, labels=labels)
    return Path(recipe.out)
