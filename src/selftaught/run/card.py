"""The README.md of what is exported: how to load it without this package, and what it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, Origin
from selftaught.contracts.samples import Preparation
from selftaught.run.meaning import OUTPUTS, Meaning
from selftaught.system.text import number_of

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Published:
    """Where a card stands on the Hub, and what it says there besides."""

    repo: str  # USER/NAME
    head: dict[str, Any]  # what the Hub files it by, beside the library and the tags
    told: str  # sections of Markdown


PIPELINES = (  # of the Hub's, those that ours can be
    *("image-feature-extraction", "image-classification", "audio-classification", "text-classification"),
    *("tabular-classification", "tabular-regression"),
)


def encoder_card(
    encoder: Encoder, preparation: Preparation, about: dict[str, Any], published: Published | None = None
) -> str:
    """The page of an encoder; `about` is what else is known of how it was made.

    It is loaded from the folder that the page lies in or, where it is published, from the Hub.
    """
    origin, kind = encoder.origin, modality.named(preparation.modality)
    code = [*_imports(origin, published), "", *_network(encoder, published)]
    if origin.library != "selftaught":  # whose own function loads the weights as well
        code.append(f"net.load_state_dict(load_file({_file(published)}))")
    if origin.features and origin.library != "own":
        code.append(f"features = lambda x: {origin.features}")
    page = _page(
        "A self-taught encoder",
        f"selftaught from unlabelled {kind.THINGS}",
        f"Gives {encoder.dim + encoder.left_out} features. {preparation.recipe()}",
        [*code, "net.eval()"],
        library="timm" if origin.timm_alone else "pytorch",
        tags=["self-supervised-learning", kind.task("feature-extraction"), str(about.get("method", ""))],
        about=about,
        published=published,
    )
    if not origin.timm_alone:
        return page
    where = "" if published else ", from the folder that holds this one"
    return (
        f"{page}\nOr in one line{where}:\n\n```python\n"
        f'net = timm.create_model("{_place(published, "encoder")}", pretrained=True, num_classes=0)\n```\n'
        "\nWith `num_classes=7` it gets a new head for seven classes, to be trained; `in_chans` takes other channels.\n"
    )


def classifier_card(
    encoder: Encoder,
    outputs: int,
    meaning: Meaning,
    in_timm: bool,
    about: dict[str, Any],
    published: Published | None = None,
) -> str:
    """The page of an encoder with a head of so many outputs; `in_timm` says that timm makes the two in one."""
    preparation, kind = encoder.preparation, modality.named(encoder.preparation.modality)
    answers = OUTPUTS[meaning.task]
    if in_timm:
        code = [
            "import timm",
            "",
            *([] if published else ["# from the folder that holds this one"]),
            f'net = timm.create_model("{_place(published, "classifier")}", pretrained=True).eval()',
            f"{answers} = lambda x: net(x){meaning.formula}",
        ]
    elif encoder.origin.library == "selftaught":
        code = [
            *_imports(encoder.origin, published),
            "",
            f"{answers} = selftaught.load_classifier({_folder(published)})",
        ]
    else:
        code = [
            *_imports(encoder.origin, published),
            "",
            *_network(encoder, published),
            f"head = torch.nn.Linear({encoder.dim}, {outputs})",
            'for prefix, part in {"net.": net, "head.": head}.items():',
            f"    weights = load_file({_file(published)}).items()",
            "    part.load_state_dict({k.removeprefix(prefix): w for k, w in weights if k.startswith(prefix)})",
            "    part.eval()",
            f"features = lambda x: {encoder.origin.features or 'net(x)'}",
            f"{answers} = lambda x: head(features(x)){meaning.formula}",
        ]
    says, sure = _said(outputs, meaning)
    number = meaning.task == "number"
    return _page(
        f"Says a number of {kind.THINGS}" if number else f"A classifier of {kind.THINGS}",
        "selftaught",
        f"{says} {preparation.recipe()}\n\n{sure}",
        code,
        library="timm" if in_timm else "pytorch",
        tags=[kind.task("regression" if number else "classification")],
        about=about,
        published=published,
    )


def _said(outputs: int, meaning: Meaning) -> tuple[str, str]:
    """What a classifier says, and how sure it is."""
    if meaning.task == "number":
        scale = "`selftaught.mean` and `selftaught.deviation` in config.json undo what scores are standardised by."
        return f"Says a number. {scale}", _within(meaning)
    several = meaning.task == "several"
    order = "`label_names` in config.json says in which order."
    chosen = "`selftaught.thresholds` there has the probability from which on each is said."
    says = (
        f"Says which of {outputs} labels a sample has, any number of them"
        if several
        else f"Tells {outputs} classes apart"
    )
    return f"{says}; {order}", _calibrated(
        meaning, "it is so" if several else "the answer is right"
    ) + f" {chosen}" * several


def _calibrated(meaning: Meaning, so: str) -> str:
    """What its probabilities are worth; `so` is what they are of."""
    doubts = meaning.doubts()
    if meaning.chosen_by == 0:
        return f"{doubts[0].upper()}{doubts[1:]}."
    divided = (
        "Scores are divided by a temperature, by the lines below and in any file of `selftaught export` alike, which "
        "gives the probabilities themselves"
    )
    return f"{divided}. But {doubts}." if doubts else f"{divided}, so that one says how often {so}."


def _within(meaning: Meaning) -> str:
    """How far off numbers are."""
    if meaning.margin is None:
        return "It is not known how far off it is."
    share = f"Of new samples like those held out about {100 * meaning.held:.0f} %"
    few = f": {number_of(meaning.chosen_by or 0, 'sample')} alone chose it" * bool(meaning.doubts())
    return f"{share} are no further off than {meaning.margin:.6g}, `selftaught.margin` there{few}."


def _page(
    title: str,
    maker: str,
    text: str,
    code: Sequence[str],
    *,
    library: str,
    tags: list[str],
    about: dict[str, Any],
    published: Published | None,
) -> str:
    """Markdown behind the block of YAML by which the Hub files a model."""
    filed: dict[str, Any] = {"library_name": library, "tags": tags}
    if published:
        task = next((tag for tag in tags if tag in PIPELINES), None)
        filed = {**published.head, **filed, **({"pipeline_tag": task} if task else {})}
    told = f"{published.told}\n" if published else ""
    head = yaml.safe_dump(filed, sort_keys=False)
    known = ", ".join(f"{key}: {value}" for key, value in about.items())
    block = "\n".join(code)
    return (
        f"---\n{head}---\n# {title}\n\nMade by {maker} ({known}).\n\n{text}\n\n{told}"
        f"## Load it\n\n```python\n{block}\n```\n"
    )


def _place(published: Published | None, folder: str) -> str:
    """By which name timm finds it."""
    return f"hf-hub:{published.repo}" if published else f"local-dir:{folder}"


def _file(published: Published | None) -> str:
    """Python for the file of its weights."""
    return f'hf_hub_download("{published.repo}", "{WEIGHTS}")' if published else f'"{WEIGHTS}"'


def _folder(published: Published | None) -> str:
    """Python for the folder that all of it lies in."""
    return f'snapshot_download("{published.repo}")' if published else '"."'


def _imports(origin: Origin, published: Published | None) -> list[str]:
    ours = origin.library == "selftaught"
    fetching = f"from huggingface_hub import {'snapshot_download' if ours else 'hf_hub_download'}"
    hub = [fetching] if published else []
    if ours:
        return ["import selftaught", *hub]
    own = [f"import {origin.library}"] if origin.library in ("timm", "torchvision") else []
    return [*own, "import torch", *hub, "from safetensors.torch import load_file"]


def _network(encoder: Encoder, published: Published | None) -> list[str]:
    """Plain Python that builds the network, without its weights where this package is not needed."""
    origin = encoder.origin
    if origin.library == "own":
        return ["net = ...  # your own network"]
    if origin.library == "selftaught":
        return [f"net = selftaught.load_encoder({_folder(published)})"]
    if origin.library == "torchvision":
        lines = [f'net = torchvision.models.get_model("{origin.name}", weights=None)']
        head = next(name for name in ("fc", "classifier", "heads", "head") if hasattr(encoder.net, name))
        last = f"net.{head}" if isinstance(getattr(encoder.net, head), nn.Identity) else f"net.{head}[-1]"
        lines.append(f"{last} = torch.nn.Identity()")
    else:
        arguments = "".join(f", {key}={value!r}" for key, value in origin.arguments.items())
        lines = [f'net = timm.create_model("{origin.name}", num_classes=0{arguments})']
    return [*lines, *(_small_stem(encoder) if origin.small_stem else ()), *origin.beside]


def _small_stem(encoder: Encoder) -> list[str]:
    """What was done to the stem of a ResNet, which no argument of its library expresses."""
    first = encoder.net.get_submodule("conv1")
    if isinstance(first, nn.Conv2d):
        shape = f"{first.in_channels}, {first.out_channels}, 3, {first.stride[0]}, 1, bias=False"
        stem = f"net.conv1 = torch.nn.Conv2d({shape})"
    else:  # the deep stems of timm's variants keep their layers
        assert isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d)
        stem = f"net.conv1[0].stride = {first[0].stride}"
    return [stem, "net.maxpool = torch.nn.Identity()"]
