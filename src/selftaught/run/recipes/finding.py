"""What the user decides about putting features to use: what to label, what is alike, what is odd; a class a command."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from selftaught.run.recipes.fields import File, OfData, Recipe, about
from selftaught.run.recipes.shared_fields import MOST, Column, LabelColumn, Port

Known = OfData[
    Annotated[
        str | None,
        about(
            "what is labelled already: a CSV of path,label for DATA, or labelled data of its own; it is not chosen "
            "again, nor what looks like it, and its clusters come last"
        ),
    ]
]
Strategy = Annotated[
    Literal["typiclust", "probcover", "coreset", "uncertainty", "margin", "random"], about("how to choose")
]
Asked = Annotated[str | None, about("a folder that `finetune` made, for --by uncertainty and --by margin")]
Chance = Annotated[int, about("of clusters and of chance", ge=0, lt=1 << 31)]


class Select(Recipe):
    """Say which samples to label first, by the features of a run: a few that stand for all, and no two look-alikes.

    typiclust makes as many clusters as there will be labels and takes the most typical sample of each: best for the
    first few labels of a class. probcover covers as much as it can with balls of one radius; coreset takes whatever is
    farthest from all that are chosen, so odd samples come early. uncertainty and margin ask a classifier, once there is
    one. random is chance. --out has a line for each, the most wanted first, with an empty column `label`: fill it in,
    then give it to `finetune --labels`, or say --labelled to choose more beside what it holds. Features of all samples
    are held in memory: 2 GB for a million of 512 numbers.
    """

    run: str = Field(description="a run folder, whose encoder says what is alike")
    data: OfData[str] = Field(description="samples to choose from, as pretrain takes them; labels are not looked at")
    column: Column = None
    count: int = Field(100, gt=0, le=MOST, description="how many to choose")
    by: Strategy = "typiclust"
    labelled: Known = None
    label_column: LabelColumn = None
    classifier: Asked = None
    classes: int | None = Field(
        None,
        gt=1,
        le=MOST,
        description="how many there will be, for --by probcover; default: those of --labelled, or 10",
    )
    seed: Chance = 0
    out: File[str] = Field(description="to_label.csv, of path,rank, what each was chosen by, and label")
    page: File[str | None] = Field(None, description="PAGE.html, with pictures where there is something to see")
    overwrite: bool = Field(False, description="replace --out and --page where they exist")


class Label(Recipe):
    """Show one sample after the other in a browser, on this machine only, and keep what you call it.

    What helps most comes first, as `select` chooses it, and beside it what looks most like it, to be labelled in one
    stroke; keys answer, pass and take back. Each answer is on the disk before the next question: --out is a CSV of
    path,label, which `finetune` and `evaluate` take by --labels. It goes on from what --out holds. RUN may be a
    classifier that `finetune` made: then what it is least sure of comes first, with what it thinks. With --task several
    a sample may have any of the classes, or none; with --task number it has a number, which is typed. Ctrl-C, or the
    button, ends it, with exit code 0.
    """

    run: str = Field(description="a run, or a classifier, whose encoder says what is alike")
    data: OfData[str] = Field(description="samples to label, as pretrain takes them; labels are not looked at")
    column: Column = None
    classes: str | None = Field(None, description="what samples are, by commas: cat,dog; the page takes more")
    task: Literal["auto", "classes", "several", "number"] = Field(
        "auto",
        description="what an answer is: one class of each sample, several, or a number; default: as the classifier "
        "says, or as --out looks, or else classes",
    )
    count: int = Field(100, gt=0, le=MOST, description="how many to choose at a time")
    by: Strategy | None = Field(
        None, description="how to choose; default: margin by a classifier of such answers, else typiclust"
    )
    labelled: Known = None
    label_column: LabelColumn = None
    classifier: Asked = None
    seed: Chance = 0
    out: File[str] = Field(description="labels.csv, of path,label; what it holds is kept")
    port: Port = 0
    open: bool = Field(False, description="open the page in the browser")


class Find(Recipe):
    """Find the samples of DATA that are most like some of yours, by the features of a run.

    --like names a sample of DATA as `embed` calls it (17, cats/3.jpg), a recording that is cut into samples, a file, or
    other data of the same kind, of which all samples are meant; say it several times for more. What comes first is most
    like any one of them, by the cosine of features: 1 is the same, and only its rank says much. The search is exact and
    holds a part of the features at a time, whatever the size of DATA. --index keeps the features in a folder, so that
    the next search has no need of the network; it is refused, with what has changed, once DATA or the encoder are
    others.
    """

    run: str = Field(description="a run folder, whose encoder says what is alike")
    data: OfData[str] = Field(description="samples to search, as pretrain takes them")
    column: Column = None
    like: tuple[str, ...] = Field(min_length=1, description="a sample of DATA, a file, or other data; may be repeated")
    count: int = Field(20, gt=0, le=100_000, description="how many to find")
    index: str | None = Field(None, description="a folder to keep the features of DATA in, or that has them")
    approximate: bool = Field(
        False,
        description="of --index: follow a graph (HNSW) in place of looking at all, for many millions; may miss some",
    )
    out: File[str | None] = Field(None, description="FILE.csv, of path,rank,similarity,like")
    page: File[str | None] = Field(None, description="PAGE.html, with pictures where there is something to see")
    overwrite: bool = Field(False, description="replace --out and --page where they exist, and make --index anew")


class Odd(Recipe):
    """Say what is odd among samples, by the features of a run: outliers, look-alikes and labels that are likely wrong.

    An outlier is far from its neighbours: the distance to the tenth is taken, and its score is by how many deviations
    that is above the median of all. Look-alikes are a fifth as far apart as neighbours usually are, or less. Neighbours
    of what is cut from a recording, or of a group that the data names, are those of others. Labels, where there are
    any, are compared with what a linear probe says that has learnt from the others alone; as many are listed as are
    thought to be wrong, each with how sure that is; where it tells no more labels right than the commonest alone would
    be, that is said. All of it is to be looked through by somebody: what is odd need not be wrong. Nothing is changed.
    """

    run: str = Field(description="a run folder, whose encoder says what is alike")
    data: OfData[str] = Field(description="samples to look through, as pretrain takes them")
    column: Column = None
    labels: Path | None = Field(None, description="CSV of path,label, or none; default: those that DATA has itself")
    label_column: LabelColumn = None
    neighbours: int = Field(10, gt=0, le=1000, description="which of its neighbours an outlier is far from")
    outlier: float = Field(3.5, ge=0, le=MOST, description="score from which on a sample is one")
    seed: int = Field(0, ge=0, lt=1 << 31, description="of the folds of labels")
    out: File[str | None] = Field(None, description="FILE.csv, of path,odd,score,of,label,likely")
    page: File[str | None] = Field(None, description="PAGE.html, with pictures where there is something to see")
    overwrite: bool = Field(False, description="replace --out and --page where they exist")
