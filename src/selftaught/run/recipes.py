"""What the user decides about a run: a class a command, whose fields are its flags."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field

from selftaught.run.fields import File, Flag, Free, Length, Mark, OfData, Own, Recipe, Shared, Speed, about
from selftaught.run.quantities import (
    ALL,
    Adapted,
    Also,
    BatchSize,
    Bytes,
    Cadence,
    Devices,
    Duration,
    Growing,
    Named,
    Names,
    Shards,
    Size,
)
from selftaught.run.relations import Columns, Relations, relations, weighed
from selftaught.run.shared_fields import (
    MOST,
    Backbone,
    BandsOf,
    Broken,
    Cache,
    Column,
    Draws,
    Epochs,
    Features,
    Fingerprint,
    Groups,
    LabelColumn,
    Layout,
    MasksOf,
    Memory,
    Most,
    PagesOf,
    Precision,
    Question,
    RemoteCache,
    Score,
    Seed,
    Side,
    Task,
    TeacherSize,
    Teaching,
    TestGroups,
    TestLabels,
    TestMasks,
    TimeLimit,
    TrainLabels,
    Unlabelled,
    ValueRange,
    Views,
    ViewsFor,
    Workers,
)
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

NOBODY = "none"  # of --watch-labels
MOST_NODES = 1 << 16


class Pretrain(Recipe):
    """Teach an encoder from unlabelled data, with no labels anywhere; those of --watch-labels only look on.

    DATA is a folder, an archive or a place inside one (photos.zip/train), a .npy, .npz, .h5 or .zarr file,
    sklearn:digits, torchvision:NAME or a .parquet of images; or rows: a .csv, .tsv or .parquet file, sklearn:wine.
    """

    data: Unlabelled
    method: Question = Part(name="simclr")
    also: Speed[Also | None] = Field(
        None, description="another method on the same encoder and the weight of its loss, such as rotation:0.4"
    )
    encoder: Backbone = Field(
        None,
        description="any timm model, torchvision/NAME; default: resnet18, "
        "or vit_tiny_patch16_224 for methods that work on tokens",
    )
    views: Views = Field({})
    views_for: ViewsFor = None
    training: dict[str, Any] = Field({}, description="the method's preset, such as --training.optimizer lars")
    epochs: Epochs = None
    steps: Length[int | None] = Field(None, gt=0, le=MOST, description="optimiser steps, instead of --epochs")
    budget: Length[Duration | None] = Field(None, description="time to train, such as 10m, instead of --epochs")
    batch_size: Speed[BatchSize | None] = Field(
        None, description="samples a step over all devices, or auto: what fits memory; default: the method's"
    )
    encode_chunk: Speed[int | None] = Field(
        None,
        gt=1,
        le=MOST,
        description="samples that the encoder takes at a time; a large batch then needs little memory and more time",
    )
    size: Side = None
    grow: Growing | None = Field(
        None,
        description="smaller views at first, such as 0.5:0.75, half the side in three quarters of the steps; for most "
        "contrastive methods",
    )
    lr: float | None = Field(
        None, gt=0, le=1e4, description="peak learning rate for 256 samples; default: the method's"
    )
    seed: Seed = 0
    order: Literal["full", "blocks"] = Field(
        "full",
        description="of the samples in an epoch; blocks: what lies side by side is read in one go, in no memory, for "
        "shards and what is larger than the memory",
    )
    limit: Most = None
    tolerance: Broken = 0.01
    label_column: LabelColumn = None
    column: Column = None
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    init: str | None = Field(
        None,
        description="weights to start from: a timm model, a folder in its layout, a run, a file, or timm for those of "
        "--encoder; default network, size and normalisation are then theirs",
    )
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    teacher_fingerprint: Fingerprint = None
    preset: Literal["auto", "own", "warm"] = Field(
        "auto",
        description="own: the method's, for fresh weights; warm: for going on from what others have taught, slower "
        "near the input, which waits at first; auto: warm with --init, but for that of a run",
    )
    adapt: Speed[Adapted] = Field(
        ALL, description="weights of --init that learn: all, norms, last:4 (layers), or lora:8 (low ranks, added)"
    )
    normalise: Literal["auto", "data", "init"] = Field(
        "auto", description="by whose mean and deviation: the data's, or those of --init; auto: the latter if known"
    )
    statistics: Literal["auto", "data", "init"] = Field(
        "auto",
        description="of the encoder's batch norms: learnt anew from the data, or kept as they are in --init; auto: "
        "the latter where others have taught it",
    )
    device: Free[Literal["auto", "cpu", "cuda", "mps"]] = Field(
        "auto", description="what kind; auto: a GPU if there is"
    )
    devices: Free[Devices] = Field(
        "auto", description="how many, each with a process and a share of the batch: a number or all; auto: one"
    )
    shard: Free[Shards] = Field(
        "auto",
        description="processes that hold each weight, its gradient and the optimiser's state together, a share each; "
        "none: each holds all; auto: as many as it takes for these to fit a device",
    )
    norm: Literal["global", "node", "device"] = Field(
        "global", description="the samples that batch norm sees together: those of all devices, a machine's, or its own"
    )
    precision: Precision = "auto"
    layout: Layout = "auto"
    attention: Literal["auto", "fused", "plain"] = Field(
        "auto", description="one kernel, or products of matrices; auto: the faster, measured along with the others"
    )
    compile: bool = Field(False, description="compile the network (slower start, faster steps)")
    deterministic: bool = Field(False, description="on a GPU, the same bits each time, by kernels that are slower")
    profile: Free[bool] = Field(False, description="say where the time of a step goes; writes profile.json and a trace")
    workers: Workers = None
    memory: Memory = 2 << 30
    cache: Cache = None
    remote_cache: RemoteCache = None
    time_limit: TimeLimit = None
    on_collapse: Free[Literal["warn", "stop"]] = Field(
        "warn", description="what to do when the network collapses; stop: save and end with exit code 4"
    )
    choose: Literal["last", Score] = Field(
        "last", description="which step's encoder to keep: the last, or the one a label-free score thinks best"
    )
    patience: int | None = Field(
        None, gt=0, le=MOST, description="end the run when the score of --choose has not risen for so many looks"
    )
    map: Free[int] = Field(2000, ge=0, le=1_000_000, description="samples at most in the map of the report; 0 for none")
    watch_labels: OfData[Free[str | None]] = Field(
        None,
        description="labelled samples that watch: what kNN and a linear probe make of the encoder at each look; they "
        "teach nothing and choose nothing; none: they watch no longer",
    )
    watch_labels_csv: Free[Path | None] = Field(None, description="CSV of path,label for --watch-labels")
    log_every: Free[int] = Field(10, gt=0, le=MOST, description="steps between lines of metrics.jsonl")
    logger: Annotated[Names | None, Mark.COMMAND] = Field(
        None, description="where the lines of metrics.jsonl go as well: tensorboard, or names of plug-ins, by commas"
    )
    checkpoint_every: Free[Cadence] = Field("600s", description="steps (500) or time (10m) between checkpoints")
    out: Own[str | None] = Field(None, description="run folder; default: runs/<data>-<method>-<n>")
    resume: Own[bool] = Field(False, description="go on from the last checkpoint in --out")
    overwrite: Own[bool] = Field(False, description="replace an existing run folder")
    fingerprint: Fingerprint = None
    draws: Draws = None
    metadata: OfData[Free[str | None]] = Field(
        None,
        description="CSV or .parquet with a column of paths and others, for the next four; columns that stand beside "
        "the samples need none",
    )
    groups: str | None = Field(
        None, description="column, such as patient: no batch holds two of one value, so they are no negatives"
    )
    positives: Relations = Field(
        None,
        description="samples that are to be alike: same:tile, near:time:5 or same:patient,near:time:5; of two views "
        "one is then another such sample's",
    )
    suppress: Speed[Columns] = Field(
        None, description="columns that features are to tell nothing of, by gradient reversal, such as scanner:0.5"
    )
    predict: Speed[Columns] = Field(None, description="columns that features are to tell, such as time or site:0.2")
    metadata_fingerprint: Fingerprint = None
    own_views: Annotated[str | None, Mark.FILLED_IN, Mark.ONE_RUN] = Field(
        None, description="views that somebody's functions make, given in Python and on resume again"
    )

    @property
    def watched_by(self) -> str | None:
        """The labelled samples that watch, where there are any."""
        return None if self.watch_labels == NOBODY else self.watch_labels

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of metadata that are used, each once."""
        related = [one.column for one in relations(self.positives)] if self.positives else []
        told = [one.column for text in (self.suppress, self.predict) if text for one in weighed(text)]
        return tuple(dict.fromkeys([*filter(None, [self.groups]), *related, *told]))

    def refuse_idle(self) -> None:
        """Raise UsageError for a setting without what it belongs to: patience waits for a score, labels for samples."""
        if self.metadata and not self.columns:
            raise UsageError("--metadata needs --groups, --positives, --suppress or --predict, which name its columns")
        if self.patience and self.choose == "last":
            raise UsageError(f"--patience needs a score to wait for: --choose {', '.join(sorted(get_args(Score)))}")
        if not self.init and not (self.encoder and self.encoder.name == "own"):
            asked = {
                f"--adapt {self.adapt}": self.adapt != ALL,
                "--preset warm": self.preset == "warm",
                "--statistics init": self.statistics == "init",
            }
            for flag in (flag for flag, given in asked.items() if given):
                raise UsageError(f"{flag} is for weights that know something already: name them by --init")
        if self.watch_labels_csv and not self.watch_labels:
            raise UsageError("--watch-labels-csv needs --watch-labels, the samples that it has the labels of")


class Check(Recipe):
    """Look at data before training: what is in it, what is broken, twice there or passed over, and what a run takes.

    Exit code 3 where a run would not start.
    """

    data: Unlabelled = Field(description="unlabelled images, or rows")
    method: Question = Field(Part(name="simclr"), description="whose settings and time to predict")
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    encoder: Backbone = None
    size: Side = None
    batch_size: Shared[int | None] = Field(None, gt=1, le=1 << 24, description="samples a step; default: the method's")
    epochs: Epochs = None
    tolerance: Broken = 0.01
    label_column: LabelColumn = None
    column: Column = None
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    limit: int | None = Field(None, gt=0, le=MOST, description="look at a random subset of this many images")
    seed: int = Field(0, ge=0, lt=1 << 63, description="of the subset")
    metadata: OfData[str | None] = Field(
        None, description="CSV or .parquet with a column of paths and others: what is in these, and what is missing"
    )
    workers: Workers = None
    time_limit: Duration | None = Field(None, description="stop with exit code 75 after this long")
    out: Own[str | None] = Field(None, description="FILE.html, a page of what was found")
    files: str | None = Field(None, description="FILE.csv, a list of what is broken, a duplicate or passed over")


class Planning(Pretrain):
    """Predict what a pre-training takes on other machines, or on many, before anybody pays for them.

    Takes what pretrain takes, so one word of the command is another. A few small steps are measured here, the rest
    follows from assumptions, which are all said. DATA may be a file of settings (recipe.yaml), or be left out: then
    --samples and --size say what there will be. Nothing is trained or written. Exit code 2 for what cannot be.
    """

    model_config = ConfigDict(title="plan")

    data: Unlabelled = Field("", description="what is to be learnt from, or settings: FILE.yaml")
    nodes: int = Field(1, gt=0, le=MOST_NODES, description="machines")
    devices: Free[Devices] = Field("auto", description="of each machine, with a process each; auto: one")
    card: str | None = Field(None, description="what devices they are, such as h100 or 4090; default: what is here")
    network: str | None = Field(
        None, description="of each machine, such as ethernet-100 or 8xndr; default: what such a card usually has"
    )
    storage: Bytes = Field(
        5 * 10**9, gt=0, description="bytes a second that storage gives each machine, as a fast disk does"
    )
    rate: float | None = Field(
        None, gt=0, le=1e9, description="samples a second of one device, where you have measured it"
    )
    samples: int | None = Field(None, gt=1, le=MOST, description="how many there will be; default: those of DATA")
    sample_bytes: Bytes | None = Field(
        None, gt=0, description="of a sample's file; default: the mean of DATA's, or 115 kB, that of ImageNet's"
    )


class Preview(Recipe):
    """Draw what a method shows a network of your data, and what it asks, before any training.

    With --run the network is that of a run, so its answers are seen, too.
    """

    data: Unlabelled
    method: Question = Part(name="simclr")
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    encoder: Backbone = None
    views: Views = Field({})
    views_for: ViewsFor = None
    column: Column = None
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    size: Side = None
    run: Own[str | None] = Field(None, description="a run folder, whose method, encoder and weights are used")
    samples: int = Field(8, gt=1, le=1000, description="how many images to show")
    limit: Most = Field(None, description="choose them among a random subset of this many")
    seed: Seed = 0
    out: Own[str] = Field("preview.png", description="FILE.png, or FILE.html with the parameters beside the pictures")


class Evaluate(Recipe):
    """Judge a run by what a simple classifier makes of its features, beside honest baselines."""

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


class Compare(Recipe):
    """Train several methods with the same budget each, let the better half go on, and rank them with their noise.

    The budget is time on this machine. Methods learn without labels; those of --train only judge. Without --train a
    label-free score ranks, which is a weaker guide.
    """

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
    score: Score = Field("rankme", description="what ranks without --train; a weak guide")
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


class Finetune(Recipe):
    """Make a classifier of a run's encoder with all labels there are, and write it to a folder.

    A fifth of the labels is held out: half of it chooses when to stop and how sure to be, half measures the result.
    Of labels such as cat;dog it learns which a sample has, of numbers to say them, with an interval that holds 95 %.
    """

    run: Own[str] = Field(description="a run folder")
    labelled: OfData[str] = Field(description="labelled images to learn the classifier from")
    labels: Path | None = Field(None, description="CSV of path,label for them")
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


class Pack(Recipe):
    """Write images as a few large files, WebDataset tars, which are read much faster than many small or huge ones.

    Whatever ends it, the same command goes on where it stopped, and the files are those of one that nothing ended;
    they do not depend on --workers either. Labels are carried along. manifest.json has the digest of each file, by
    which `selftaught check` finds damage, and what was left out. The folder is DATA to every other command.
    """

    data: OfData[Own[str]] = Field(description="images")
    out: Own[str] = Field(description="folder for train-000000.tar and so on")
    short_side: int | None = Field(
        None,
        gt=0,
        le=16_384,
        description="pixels of the shorter side of larger images, which become JPEGs; 256 is right for views of 224; "
        "default: all files stay byte for byte what they are",
    )
    quality: int = Field(90, ge=1, le=100, description="of those JPEGs")
    shard_size: Bytes = Field(256_000_000, ge=1_000_000, description="bytes of a tar at most, such as 1GB")
    shard_samples: int = Field(10_000, gt=0, le=MOST, description="samples in a tar at most")
    drop_duplicates: bool = Field(
        False, description="leave out what `selftaught check` calls the same as another image, or looking like one"
    )
    labels: Path | None = Field(None, description="CSV of path,label, in place of the labels that DATA has")
    label_column: LabelColumn = None
    column: Column = None
    tolerance: Broken = 0.01
    workers: Workers = None
    time_limit: Duration | None = Field(None, description="stop with exit code 75 after this long")


class Watch(Recipe):
    """Show the report of one or more runs in a browser, on this machine only, and keep it up to date.

    Ctrl-C ends it, with exit code 0; so does SIGTERM. With --until-done it ends by itself, with exit code 0 once every
    run is done or has failed; one that was preempted or killed is waited for, as it may be resumed, and a signal before
    the end gives exit code 75. Nothing is written in a run folder but the layout of its map.
    """

    runs: tuple[str, ...] = Field(description="run folders")
    port: int = Field(8000, ge=0, le=65535, description="of the address; 0: any that is free")
    every: Duration = Field(5.0, ge=0.1, description="time between looks for what is new, such as 5s")
    open: bool = Field(False, description="open the page in the browser")
    until_done: bool = Field(False, description="end once every run is done or has failed")


# The rest have few settings and no more to say of themselves than the line in the table of commands.
Subset = Annotated[
    int | None, about("a random subset of this many samples  [x>=1]", ge=1, le=MOST), Flag(metavar="INTEGER RANGE")
]


class Predict(Recipe):
    classifier: str
    data: OfData[str]
    column: Column = None
    out: File[str] = Field(description="predictions.csv, of path,predicted,probability; of numbers with low,high")
    every: Annotated[bool, Flag("all")] = Field(
        False, description="the probability of every class or label, in a column each"
    )
    limit: Subset = None


class Embed(Recipe):
    run: str
    data: OfData[str]
    column: Column = None
    out: File[str] = Field(description="features.npz or features.parquet")
    limit: Subset = None


class Export(Recipe):
    run: str
    to: Literal["onnx"] = Field("onnx", description="format")
    out: File[str | None] = Field(None, description="default: RUN/encoder/model.onnx")


class Report(Recipe):
    runs: tuple[str, ...]
    out: File[str | None] = Field(None, description="default: report.html in the first run's folder")
    labels: Annotated[str | None, Flag(metavar="DATA")] = Field(
        None, description="labelled data, or a CSV of path,label, to colour the map with"
    )


class Methods(Recipe):
    pass


class Encoders(Recipe):
    pattern: str = ""


class Demo(Recipe):
    out: Annotated[str, Flag(metavar="TEXT")] = Field("runs/demo", description="folder for the two runs and the page")
