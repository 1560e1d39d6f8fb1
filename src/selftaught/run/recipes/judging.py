"""What the user decides about judging an encoder, and about what is made of one: a class a command."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from selftaught.run.quantities import (
    Devices,
    Duration,
    Licence,
    Named,
    Names,
    Size,
    Target,
)
from selftaught.run.recipes.fields import File, Flag, Free, Length, Mark, OfData, Own, Recipe, about
from selftaught.run.recipes.shared_fields import (
    MOST,
    BandsOf,
    Broken,
    Cache,
    Column,
    Context,
    Features,
    Fingerprint,
    Groups,
    LabelColumn,
    Layout,
    MasksOf,
    Memory,
    Most,
    Overwrite,
    PagesOf,
    Precision,
    RemoteCache,
    SamplingRate,
    Score,
    Seed,
    Side,
    Stride,
    Task,
    TeacherSize,
    Teaching,
    TestGroups,
    TestLabels,
    TestMasks,
    TimeLimit,
    Tokenizer,
    TrainLabels,
    Unlabelled,
    ValueRange,
    ViewsFor,
    Vocabulary,
    Window,
    Workers,
)


class Evaluate(Recipe):
    """Judge a run by what a simple classifier makes of its features, beside honest baselines."""

    TITLES: ClassVar[dict[str, str]] = {
        "train": "Labelled data",
        "task": "What is judged",
        "pretrained": "What it stands beside",
        "labels": "How many labels, how often",
        "devices": "Machine and result",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("train", "test", "train_labels", "probe", "labels", "groups", "pretrained", "limit", "out", "as_json"),
    )

    run: Own[str] = Field(description="a run folder")
    train: OfData[str] = Field(description="labelled images to learn the classifier from")
    test: OfData[str | None] = Field(None, description="labelled images to judge on; default: folds of --train")
    train_labels: TrainLabels = None
    test_labels: TestLabels = None
    groups: Groups = None
    test_groups: TestGroups = None
    label_column: LabelColumn = None
    column: Column = None
    task: Task = "auto"
    masks: MasksOf = None
    test_masks: TestMasks = None
    probe: str = Field("knn,linear", description="any of PROBES")
    features: Features = "auto"
    finetune: dict[str, Any] = Field({}, description="of the probe of that name, such as --finetune.layer_decay 0.9")
    pretrained: str | None = Field(
        None,
        description="an encoder to stand beside: a folder in timm's layout, a run, a file of weights, or none; "
        "default: public weights of this architecture, if they are on this machine",
    )
    pretrained_size: Size | None = Field(None, description="side of the images it is shown; default: its own")
    labels: str = Field("100%", description="how many labels: 10% is a fraction, 5 is per class, such as 1%,10%,100%")
    repeats: int = Field(3, gt=0, le=1000, description="draws of a label subset, or rounds of folds")
    limit: Most = None
    tolerance: Broken = 0.01
    seed: int = Field(0, ge=0, lt=1 << 31, description="of subsets and folds")
    devices: Free[Devices] = Field(
        "auto", description="how many make features side by side: a number or all; auto: one"
    )
    out: Own[File[str | None]] = Field(None, description="FILE.json; default: evaluation.json in the run, and a copy")
    overwrite: Overwrite = False


class Compare(Recipe):
    """Train several methods with the same budget each, let the better half go on, and rank them with their noise.

    The budget is time on this machine. Methods learn without labels; those of --train only judge. Without --train a
    label-free score ranks, which is a weaker guide.
    """

    TITLES: ClassVar[dict[str, str]] = {
        "methods": "What is compared",
        "train": "What judges",
        "range": "Data",
        "task": "How it is judged",
        "encoder": "Encoders",
        "seeds": "How often, in which rounds",
        "size": "Samples",
        "devices": "Machine and result",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("methods", "grid", "budget", "epochs", "train", "test", "labels", "encoder", "seeds", "devices"),
        *("out", "resume", "as_json"),
    )

    data: Unlabelled = Field(description="unlabelled images, or rows")
    methods: Names = Field(
        "simclr,byol,vicreg,swav,mae,rotation,inpainting,denoising",
        description="names, a family (self_prediction, contrastive), a kind (masked, negatives ...) or all",
    )
    grid: str | None = Field(
        None,
        description="settings of one method to compare, not methods: method.temperature=0.1,0.2; several by ;",
    )
    budget: Length[Duration | None] = Field(None, description="time to train each, in the last rung; default: 20m")
    epochs: Length[float | None] = Field(
        None, gt=0, le=MOST, description="passes over the data each, instead of --budget"
    )
    train: OfData[str | None] = Field(
        None, description="labelled images to judge with; default: a label-free score judges"
    )
    test: OfData[str | None] = Field(None, description="labelled images to judge on; default: folds of --train")
    train_labels: TrainLabels = None
    test_labels: TestLabels = None
    groups: Groups = None
    test_groups: TestGroups = None
    label_column: LabelColumn = None
    column: Column = None
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    task: Task = "auto"
    probe: str = Field("linear", description="whose accuracy ranks: one of FEATURE_PROBES")
    features: Features = "auto"
    labels: str = Field("100%", description="how many labels: 10% is a fraction, 5 is per class")
    score: Score | None = Field(
        None, description="what ranks without --train, a weak guide; default: rankme, or alignment where any has tokens"
    )
    encoder: Named | None = Field(None, description="as of pretrain; one with tokens serves all methods alike")
    token_encoder: Named | None = Field(None, description="for methods that need tokens, where --encoder has none")
    views_for: ViewsFor = None
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    seeds: int = Field(2, gt=0, le=1000, description="runs of each method")
    rungs: int = Field(
        3, gt=0, le=100, description="rounds at most; in each half the methods go on, with twice the budget"
    )
    size: Side = None
    window: Window = None
    stride: Stride = None
    tokenizer: Tokenizer = None
    vocabulary: Vocabulary = None
    context: Context = None
    sampling_rate: SamplingRate = None
    limit: Most = None
    tolerance: Broken = 0.01
    devices: Free[Devices] = Field(
        "auto", description="a number, or all: each takes a run at a time, in a process of its own; auto: a single one"
    )
    precision: Precision = "auto"
    layout: Layout = "auto"
    workers: Workers = None
    memory: Memory = 2 << 30
    cache: Cache = None
    remote_cache: RemoteCache = None
    time_limit: TimeLimit = None
    out: Own[str | None] = Field(None, description="folder of the comparison; default: runs/<data>-compare-<n>")
    resume: Own[bool] = Field(False, description="go on with the comparison in --out")
    fingerprint: Fingerprint = None
    teacher_fingerprint: Fingerprint = None
    method_fingerprint: Fingerprint = None
    judged_by: Annotated[dict[str, str], Mark.FILLED_IN, Mark.ONE_RUN] = Field(
        {}, description="digests of the samples that judge, their labels and groups; checked on resume"
    )
    beyond_test: Annotated[bool, Mark.FILLED_IN, Mark.ONE_RUN] = Field(
        False, description="whether who goes on is chosen without what --test has as well; earlier ones have it not"
    )


def _no_number(given: Any) -> Any:
    """A file of labels, and not how many, which `evaluate --labels` says."""
    if re.fullmatch(r"\d{1,20}(\.\d{1,20})?%?", str(given)) and not Path(str(given)).exists():
        few = f"what {given} give is judged by `selftaught evaluate RUN --probe finetune --labels {given}`"
        raise ValueError(f"here it is a CSV of path,label, of which all are learnt from; {few}")
    return given


class Finetune(Recipe):
    """Make a classifier of a run's encoder with all labels there are, and write it to a folder.

    A fifth of the labels is held out: half of it chooses when to stop and how sure to be, half measures the result.
    Of labels such as cat;dog it learns which a sample has, of numbers to say them, with an interval that holds 95 %;
    where few labels are held out, it holds less, as the same ones choose when to stop.
    """

    TITLES: ClassVar[dict[str, str]] = {
        "labels": "Labelled data",
        "task": "What is learnt",
        "out": "Result, and how much it takes",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("labels", "test", "groups", "label_column", "task", "out", "limit", "time_limit", "overwrite", "as_json"),
    )

    run: Own[str] = Field(description="a run folder")
    labelled: OfData[str] = Field(description="labelled images to learn the classifier from")
    labels: Annotated[Path | None, BeforeValidator(_no_number)] = Field(None, description="CSV of path,label for them")
    test: OfData[str | None] = Field(None, description="more labelled images, to measure it on as well")
    test_labels: TestLabels = None
    groups: Groups = None
    test_groups: TestGroups = None
    label_column: LabelColumn = None
    column: Column = None
    task: Task = "auto"
    finetune: dict[str, Any] = Field({}, description="how, such as --finetune.layer_decay 0.9")
    out: Own[str] = Field(description="folder for the classifier")
    limit: Most = None
    tolerance: Broken = 0.01
    seed: Seed = 0
    time_limit: Duration | None = Field(None, description="stop with exit code 75 after this long")
    overwrite: Own[bool] = Field(False, description="replace an existing classifier")


Subset = Annotated[
    int | None, about("a random subset of this many samples  [x>=1]", ge=1, le=MOST), Flag(metavar="INTEGER RANGE")
]


class Predict(Recipe):
    """Let a classifier sort new samples: --out has a line for each, with what it says and how sure it is of that.

    --move-into sorts their files as well, as copies or links, into a new folder with one for each class; with
    --threshold 0.9 those of which it is less than 90 % sure are only listed there. What you have stays as it is.
    """

    classifier: str
    data: OfData[str]
    column: Column = None
    out: File[str] = Field(description="predictions.csv, of path,predicted,probability; of numbers with low,high")
    overwrite: Overwrite = False
    every: Annotated[bool, Flag("all")] = Field(
        False, description="the probability of every class or label, in a column each"
    )
    limit: Subset = None
    sort: Literal["data", "confidence"] = Field(
        "data", description="the order of lines: that of DATA, or the surest first"
    )
    move_into: Annotated[str | None, Flag(metavar="FOLDER")] = Field(
        None,
        description="a new folder for the samples' files, in one for each class; DATA itself stays as it is, and where "
        "each file went stands in sorted.csv there",
    )
    how: Literal["copy", "link"] = Field(
        "copy", description="of --move-into: copies, or hard links, which take no room"
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="of --move-into: what is less sure is left where it is, and listed in undecided.csv there",
    )


class Embed(Recipe):
    run: str
    data: OfData[str]
    column: Column = None
    out: File[str] = Field(description="features.npz or features.parquet")
    overwrite: Overwrite = False
    limit: Subset = None


class Export(Recipe):
    run: str
    to: Target = Field(
        "onnx",
        description="onnx; executorch, for phones; or hub:USER/NAME: a folder as the Hub's models are, with a card",
    )
    out: File[str | None] = Field(
        None, description="default: RUN/encoder/model.onnx, or model.pte; of hub: the folder RUN/hub"
    )
    overwrite: Overwrite = False
    license: Annotated[Licence | None, Flag(metavar="NAME")] = Field(
        None, description="of hub: under which others may use it, as apache-2.0, cc-by-nc-4.0 or other; yours to choose"
    )
    upload: bool = Field(False, description="of hub: send it; without this it is only written and told")
