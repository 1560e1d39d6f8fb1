"""The page of a model on the Hub: what it was made of, and what it is worth, from the plain files in a run folder.

Of names of files and folders only the last part is told, as the rest is of the machine that they lie on.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import yaml

from selftaught.judging import units
from selftaught.judging.result import Evaluation, Row, kinds, leaking
from selftaught.methods import registry
from selftaught.run.card import Published, classifier_card, encoder_card
from selftaught.run.classifier import load_classifier
from selftaught.run.export import encoder_about, load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.layout import NEWEST, is_classifier
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.run.records import Environment, Facts
from selftaught.system.addresses import is_remote
from selftaught.system.errors import UsageError
from selftaught.system.reading import json_in, json_object, yaml_in
from selftaught.system.text import printable

NOT_TOLD = Pretrain.marked(Mark.FREE, Mark.COMMAND, Mark.ONE_RUN, Mark.DATA)  # what the result does not come of
UNJUDGED = (
    "Nobody has judged it: whether its features serve better than raw values, or than those of an untrained network, "
    "is not known."
)
FILES = ("init", "teacher", "tokenizer")  # settings that may name one
# Of a classifier what is told, and by task what the interval is of.
WITHIN: Mapping[str, str] = {"classes": "accuracy", "several": "mAP", "number": "R2"}
OF_CLASSIFIER = ("accuracy", "balanced_accuracy", "macro_F1", "mAP", "R2", "MAE", "RMSE", "calibration_error")


def model_card(run: RunFolder, repo: str, licence: str) -> str:
    """The README.md of a run's encoder, or of a classifier, as USER/NAME on the Hub. Raises UsageError."""
    head = {"license": licence}
    if is_classifier(run.folder):
        classifier = load_classifier(run.folder)
        about = encoder_about(run.folder / "classifier")
        published = Published(repo, head, "\n".join(_of_classifier(run.folder)))
        known = _some(about, "samples", "run")
        in_timm = about["prefixes"][0] == ""
        outputs = classifier.head.out_features
        return classifier_card(classifier.encoder, outputs, classifier.meaning, in_timm, known, published)
    encoder = load_encoder(run.folder)
    about = encoder_about(run.folder / "encoder")
    published = Published(repo, head, "\n".join([*_made(run, about), *_worth(run.folder)]))
    return encoder_card(encoder, encoder.preparation, _some(about, "method", "step", "samples"), published)


def _some(about: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: about[name] for name in names if name in about}


def _made(run: RunFolder, about: Mapping[str, Any]) -> Iterator[str]:
    """Data, method and settings of pre-training, without labels."""
    recipe = run.recipe
    facts: Mapping[str, Any] = _read(run.folder / "data.json", Facts)
    packages = _read(run.folder / "environment.json", Environment).get("packages", {})
    yield "## What it was made of\n"
    yield f"- data, without labels: {_data(recipe.data)}, {facts.get('samples', about.get('samples', '?'))}"
    if recipe.fingerprint:
        yield f"- digest of the data: `{recipe.fingerprint}`"
    yield f"- method: `{recipe.method.name}`{_paper(recipe.method.name)}"
    if recipe.init:
        yield f"- begun from: {_bare(recipe.init)}, whose licence and data count as well"
    if recipe.teacher:
        yield f"- taught by: {_bare(recipe.teacher)}, whose licence and data count as well"
    if versions := ", ".join(f"{name} {version}" for name, version in packages.items()):
        yield f"- made with: {versions}"
    if said := run.status.get("verdict"):
        yield f"- what was seen of it without labels: {said}"
    yield "\nThe settings:\n\n```yaml"
    yield yaml.safe_dump(_settings(recipe), sort_keys=False, allow_unicode=True).rstrip()
    yield "```\n"


def _settings(recipe: Pretrain) -> dict[str, Any]:
    """What of a recipe makes the result, as far as something was chosen."""
    values = recipe.model_dump(mode="json", exclude={*NOT_TOLD, "fingerprint", "draws"})
    kept = ((name, value) for name, value in values.items() if value not in (None, {}) and value is not False)
    return {name: _told(value, name in FILES) for name, value in kept}


def _told(value: Any, file: bool = False) -> Any:
    """A setting, without where something lies on this machine; a name such as torchvision/resnet18 stays whole."""
    if isinstance(value, Mapping):
        return {name: _told(inner) for name, inner in value.items()}
    return _bare(value) if isinstance(value, str) and (file or Path(value).is_absolute()) else value


def _worth(folder: Path) -> Iterator[str]:
    """What the newest evaluation says, with intervals, or that there is none."""
    evaluation = _evaluation(folder / NEWEST)
    yield "## What it is worth\n"
    if evaluation is None:
        yield f"{UNJUDGED}\n"
        return
    judged = f"{evaluation.test_samples:,} {evaluation.things} of {_data(evaluation.test)}" if evaluation.test else ""
    judged = judged or f"folds of {evaluation.train_samples:,} {evaluation.things}"
    judged += f" {evaluation.grouped}" * bool(evaluation.grouped)
    yield f"Probes learnt from labels of {_data(evaluation.train)} and were judged on {judged}.\n"
    yield from (f"- {line}" for line in evaluation.verdicts or [evaluation.verdict])
    if ": it did not help" in evaluation.verdict:
        yield "\n**In the judgement that counts pre-training did not help: something simpler does as well or better.**"
    yield ""
    yield from _table(evaluation)
    yield f"\n95 % intervals. Seed {evaluation.seed}.{_remark(evaluation)}\n"


def _table(evaluation: Evaluation) -> Iterator[str]:
    """All rows, one a probe and number of labels."""
    called = {k: name for k, name in kinds(evaluation.things).items() if any(r.features == k for r in evaluation.rows)}
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in evaluation.rows:
        groups.setdefault((row.probe, row.labels, row.measure), {})[row.features] = row
    yield _line(["probe", "labels", "measure", *called.values()])
    yield _line(["---"] * (3 + len(called)))
    for (probe, labels, measure), held in groups.items():
        yield _line([probe, labels, units.called(measure), *(held[k].shown() if k in held else "" for k in called)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(printable(cell).replace("|", "\\|") for cell in cells) + " |"


def _remark(evaluation: Evaluation) -> str:
    return _to_be_known(evaluation.remark)


def _to_be_known(remark: str) -> str:
    return f" To be known: {remark}." if remark else ""


def _of_classifier(folder: Path) -> Iterator[str]:
    """What a classifier learnt from, and how it did on what was held out."""
    recipe = yaml_in(folder / "recipe.yaml")
    metrics = _read(folder / "metrics.json")
    yield "## What it was made of\n"
    labelled, learnt = _data(str(recipe.get("labelled", "?"))), metrics.get("learnt_from", "?")
    yield f"- labels of {labelled}, {learnt} of which it learnt from"
    yield f"- the pre-trained encoder of the run {_bare(str(recipe.get('run', '?')))}\n"
    yield "## What it is worth\n"
    test = metrics.get("test")
    told = test or metrics
    # Half of what was held out has chosen; older files do not say how many have not.
    measured = metrics.get("measured_on", metrics.get("held_out", "?"))
    of = f"{measured} held-out samples"
    if test:
        of = f"{test['measured_on']} samples of the test set" if "measured_on" in test else "the test set"
    of += units.counted_once(told)
    numbers = [f"{name} {told[name]:.4g}" for name in OF_CLASSIFIER if isinstance(told.get(name), int | float)]
    known = _to_be_known(leaking(metrics.get("leaks", [])))
    if not numbers:
        yield f"Nothing was held out, so how often it is right is not known.{known}\n"
        return
    low, high, within = told.get("low"), told.get("high"), WITHIN.get(str(metrics.get("task", "classes")))
    interval = f" (95 % interval of {within}: {low:.4g} to {high:.4g})" if None not in (low, high, within) else ""
    yield f"On {of}: {', '.join(numbers)}{interval}.{known}\n"


def _paper(method: str) -> str:
    try:
        return f" ({registry.method_class(method).paper})"
    except (UsageError, AttributeError):  # a plug-in's that is not here, or has none
        return ""


def _data(name: str) -> str:
    """What data is called in public."""
    return f"`{_bare(name)}`"


def _bare(name: str) -> str:
    """A name without the folders of somebody's machine; an address elsewhere, and a built-in set, as they are."""
    return printable(name if is_remote(name) else PurePath(name).name or name)


def _evaluation(file: Path) -> Evaluation | None:
    """The newest evaluation; None where there is none. Raises UsageError where it is damaged."""
    try:
        held = Evaluation.model_validate(json_in(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{printable(file)} cannot be read, so the card cannot tell it: {printable(error)}") from None
    return held if held.rows else None


def _read(file: Path, schema: Any = dict[str, Any]) -> dict[str, Any]:
    """The object in a file of a run. Raises UsageError where it is damaged."""
    try:
        return json_object(file, schema)
    except (OSError, ValueError) as error:
        raise UsageError(f"{printable(file)} cannot be read, so the card cannot tell it: {printable(error)}") from None
