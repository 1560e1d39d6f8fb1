"""What the user decides about looking at data, runs and what there is, and about packing: a class a command."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from selftaught.run.quantities import (
    Bytes,
    Duration,
)
from selftaught.run.recipes.fields import File, Flag, OfData, Own, Recipe, Shared
from selftaught.run.recipes.shared_fields import (
    MOST,
    Backbone,
    BandsOf,
    Broken,
    Column,
    Context,
    Epochs,
    LabelColumn,
    Most,
    Overwrite,
    PagesOf,
    Port,
    Question,
    SamplingRate,
    Seed,
    Side,
    Stride,
    TeacherSize,
    Teaching,
    Tokenizer,
    Unlabelled,
    ValueRange,
    Views,
    ViewsFor,
    Vocabulary,
    Window,
    Workers,
)
from selftaught.system.components import Part


class Check(Recipe):
    """Look at data before training: what is in it, what is broken, twice there or passed over, and what a run takes.

    Exit code 3 where a run would not start.
    """

    TITLES: ClassVar[dict[str, str]] = {
        "method": "The run that is foreseen",
        "tolerance": "Data",
        "workers": "Machine and result",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("method", "encoder", "size", "batch_size", "epochs", "limit", "metadata", "out", "files", "as_json"),
    )

    data: Unlabelled = Field(description="unlabelled images, or rows")
    method: Question = Field(Part(name="simclr"), description="whose settings and time to predict")
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    encoder: Backbone = None
    size: Side = None
    window: Window = None
    stride: Stride = None
    sampling_rate: SamplingRate = None
    batch_size: Shared[int | None] = Field(None, gt=1, le=1 << 24, description="samples a step; default: the method's")
    epochs: Epochs = None
    tokenizer: Tokenizer = None
    vocabulary: Vocabulary = None
    context: Context = None
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
    overwrite: Own[bool] = Field(
        False, description="replace --out and --files, whoever wrote them; what this command wrote it replaces anyway"
    )


class Preview(Recipe):
    """Draw what a method shows a network of your data, and what it asks, before any training.

    With --run the network is that of a run, so its answers are seen, too.
    """

    TITLES: ClassVar[dict[str, str]] = {
        "method": "What is asked",
        "column": "Data",
        "size": "Samples",
        "run": "What is drawn",
        "recipe": "More",
    }
    FIRST: ClassVar[tuple[str, ...]] = (
        *("method", "encoder", "views_for", "size", "run", "samples", "limit", "out", "recipe", "as_json"),
    )

    data: Unlabelled
    method: Question = Part(name="simclr")
    teacher: Teaching = None
    teacher_size: TeacherSize = None
    encoder: Backbone = None
    views: Views = Field({})
    views_for: ViewsFor = None
    column: Column = None
    tolerance: Broken = 0.01
    range: ValueRange = "auto"
    pages: PagesOf = "first"
    bands: BandsOf = None
    size: Side = None
    window: Window = None
    stride: Stride = None
    tokenizer: Tokenizer = None
    vocabulary: Vocabulary = None
    context: Context = None
    sampling_rate: SamplingRate = None
    run: Own[str | None] = Field(None, description="a run folder, whose method, encoder and weights are used")
    samples: int = Field(8, gt=1, le=1000, description="how many images to show")
    limit: Most = Field(None, description="choose them among a random subset of this many")
    seed: Seed = 0
    out: Own[str] = Field("preview.png", description="FILE.png, or FILE.html with the parameters beside the pictures")
    overwrite: Overwrite = False


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
    port: Port = 8000
    every: Duration = Field(5.0, ge=0.1, description="time between looks for what is new, such as 5s")
    open: bool = Field(False, description="open the page in the browser")
    until_done: bool = Field(False, description="end once every run is done or has failed")


# The rest have few settings and no more to say of themselves than the line in the table of commands.
class Report(Recipe):
    runs: tuple[str, ...]
    out: File[str | None] = Field(None, description="default: report.html in the first run's folder")
    overwrite: Overwrite = False
    labels: Annotated[str | None, Flag(metavar="DATA")] = Field(
        None, description="labelled data, or a CSV of path,label, to colour the map with"
    )


class Methods(Recipe):
    pass


class Encoders(Recipe):
    pattern: str = ""


class Demo(Recipe):
    out: Annotated[str, Flag(metavar="TEXT")] = Field("runs/demo", description="folder for the two runs and the page")
