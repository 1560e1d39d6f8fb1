"""What the user decides about a pre-training: the fields of the recipe are flags of the command."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field

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
    Names,
    Shards,
    Weights,
)
from selftaught.run.recipes.fields import Free, Length, Mark, OfData, Own, Recipe, Speed
from selftaught.run.recipes.shared_fields import (
    MOST,
    Backbone,
    BandsOf,
    Broken,
    Cache,
    Column,
    Context,
    Draws,
    Epochs,
    Fingerprint,
    LabelColumn,
    Layout,
    Memory,
    Most,
    PagesOf,
    Precision,
    Question,
    RemoteCache,
    SamplingRate,
    Score,
    Seed,
    Side,
    Stride,
    TeacherSize,
    Teaching,
    TimeLimit,
    Tokenizer,
    Unlabelled,
    ValueRange,
    Views,
    ViewsFor,
    Vocabulary,
    Window,
    Workers,
)
from selftaught.run.relations import Columns, Relations, relations, weighed
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

NOBODY = "none"  # of --watch-labels
IN_TRAINING = ("lr", "batch_size")  # settings that --training has as well
MOST_NODES = 1 << 16


class Pretrain(Recipe):
    """Teach an encoder from unlabelled data, with no labels anywhere; those of --watch-labels only look on.

    DATA is a folder, an archive or a place inside one (photos.zip/train), a .npy, .npz, .h5 or .zarr file,
    sklearn:digits, torchvision:NAME or a .parquet of images; or rows: a .csv, .tsv or .parquet file, sklearn:wine;
    or series: a .ts file, a table of series,time,channels, or series:FILE of any .npy, .npz, table or folder;
    or texts: a .jsonl file, or text:FILE of a table, a .txt of lines, or a folder or an archive of .txt files.
    """

    TITLES: ClassVar[dict[str, str]] = {
        "method": "What to learn",
        "epochs": "How long, and in which steps",
        "size": "Views",
        "lr": "Pace and order",
        "limit": "Data",
        "init": "Weights that exist",
        "device": "Machine",
        "time_limit": "Looking on, and when to end",
        "log_every": "Run folder",
        "metadata": "Metadata",
        "recipe": "More",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("method", "encoder", "init", "epochs", "budget", "size", "views_for", "batch_size", "limit", "devices"),
        *("out", "resume", "recipe", "as_json"),
    )

    data: Unlabelled
    method: Question = Part(name="simclr")
    also: Speed[Also | None] = Field(
        None, description="another method on the same encoder and the weight of its loss, such as rotation:0.4"
    )
    encoder: Backbone = Field(
        None,
        description="any timm model, torchvision/NAME; default: resnet18, on a CPU resnet10t, "
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
        description="samples that the encoder takes at a time; a large batch then needs little memory and more time; "
        "default: all, or as many as fit where you name no batch either",
    )
    size: Side = None
    window: Window = None
    stride: Stride = None
    tokenizer: Tokenizer = None
    vocabulary: Vocabulary = None
    context: Context = None
    sampling_rate: SamplingRate = None
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
    first_pass: Literal["auto", "all", "sample"] = Field(
        "auto",
        description="images that are looked at before the first step: all, or a sample of 4096; what is broken among "
        "the others is then replaced when it is met, and all are decoded for every batch; auto: a sample of more than "
        "1,000,000",
    )
    label_column: LabelColumn = None
    column: Column = None
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    jpeg_decoder: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="what decodes JPEGs: the CPU's cores, or the card (nvJPEG, by torchcodec), whose pixels differ a "
        "little from those that the CPU makes for judging",
    )
    init: Weights | None = Field(
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
    map: Free[int] = Field(
        2000, ge=0, le=1_000_000, description="samples in the map of the report, 100,000 at most; 0 for none"
    )
    watch_labels: OfData[Free[str | None]] = Field(
        None,
        description="labelled samples that watch: what kNN and a linear probe make of the encoder at each look; they "
        "teach nothing and choose nothing; none: they watch no longer",
    )
    watch_labels_csv: Free[Path | None] = Field(None, description="CSV of path,label for --watch-labels")
    log_every: Free[int] = Field(10, gt=0, le=MOST, description="steps between lines of metrics.jsonl")
    logger: Annotated[Names | None, Mark.COMMAND] = Field(
        None,
        description="where the lines of metrics.jsonl go as well: tensorboard, wandb, mlflow, trackio or names of "
        "plug-ins, by commas",
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
    method_fingerprint: Fingerprint = None
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
                "--normalise init": self.normalise == "init",
                "--statistics init": self.statistics == "init",
            }
            for flag in (flag for flag, given in asked.items() if given):
                raise UsageError(f"{flag} is for weights that know something already: name them by --init")
        if self.watch_labels_csv and not self.watch_labels:
            raise UsageError("--watch-labels-csv needs --watch-labels, the samples that it has the labels of")


class Planning(Pretrain):
    """Predict what a pre-training takes on other machines, or on many, before anybody pays for them.

    Takes what pretrain takes, so one word of the command is another. A few small steps are measured here, the rest
    follows from assumptions, which are all said. DATA may be a file of settings (recipe.yaml), or be left out: then
    --samples and --size say what there will be. Nothing is trained or written. Exit code 2 for what cannot be.
    """

    model_config = ConfigDict(title="plan")
    TITLES: ClassVar[dict[str, str]] = {**Pretrain.TITLES, "nodes": "What to plan for", "recipe": "More"}
    FIRST: ClassVar[tuple[str, ...]] = (
        *("nodes", "devices", "card", "network", "storage", "rate", "samples", "sample_bytes", "method", "encoder"),
        *("epochs", "size", "batch_size", "recipe", "as_json"),
    )

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
