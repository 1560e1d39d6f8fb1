"""What the files of a run folder that are read again must hold; anything beside that is let through.

Whoever reads a run folder may have been given it by a stranger, and a power cut leaves halves of lines.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LAST = 1 << 53  # more steps than any run takes

Step = Annotated[int, Field(ge=0, le=LAST)]


def _of_features(scores: dict[str, float]) -> dict[str, float]:
    if scores and "feature_spread" not in scores:
        raise ValueError("there is no feature_spread among the scores")
    return scores


Scores = Annotated[dict[str, float], AfterValidator(_of_features)]  # of a look; none where features were not finite


class Record(BaseModel):
    """An object in a file: what is named below is checked, the rest is whoever wrote it's."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Status(Record):
    """status.json."""

    state: str = ""
    reason: str | None = None
    task: str | None = None
    chance: float | None = None
    health_at_start: Scores | None = None
    watched_at_start: dict[str, float] | None = None
    watched_by: str | None = None
    watched_measure: str | None = None
    watched: dict[str, float] | None = None
    steps: Step | None = None
    chosen_step: Step | None = None
    seconds: float | None = None
    samples_per_second: float | None = None
    health: dict[str, float] | None = None
    verdict: str | None = None


class Line(Record):
    """A line of metrics.jsonl."""

    step: Step
    loss: float | None = None
    mean_loss: float | None = None
    samples_per_second: float | None = None
    seconds: float | None = None
    terms: dict[str, float | None] = {}
    health: Scores | None = None
    watched: dict[str, float] | None = None
    watched_by: str | None = None  # the same for the same labelled samples
    watched_measure: str | None = None  # what the numbers are; None of older runs: accuracies


class Environment(Record):
    """environment.json."""

    preparation: dict[str, Any] | None = None


class LookedAt(Record):
    """What data.json says of a sample, where not all was looked at."""

    samples: Annotated[int, Field(ge=0, le=LAST)]
    broken: Annotated[int, Field(ge=0, le=LAST)]


class Facts(Record):
    """data.json."""

    looked_at: LookedAt | None = Field(None, alias="looked at")
    folders: dict[str, Annotated[int, Field(ge=0, le=LAST)]] = {}  # how many samples lie in each


class BadStep(Record):
    """A line of bad_batches.jsonl."""

    step: Step
    samples: list[str] = []


class Replaced(Record):
    """A line of replaced.jsonl."""

    step: Step
    row: Step
    path: str
    reason: str


class Part(Record):
    """What a file of a checkpoint holds of a tensor that is spread over several."""

    shape: list[Annotated[int, Field(ge=0, le=LAST)]]  # of the whole tensor
    dtype: str
    rows: tuple[Annotated[int, Field(ge=0, le=LAST)], Annotated[int, Field(ge=0, le=LAST)]]  # first, and the one past


class Written(Record):
    """What the manifest of a checkpoint says of a file: size and hash, which are compared with what is there."""

    tensors: dict[str, Part] = {}  # where some tensor is spread over files: of every tensor in this one


Manifest = dict[str, Written]


class State(Record):
    """state.json of a checkpoint."""

    step: Step
    threads: Annotated[int, Field(ge=1, le=LAST)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None  # that the run had been trained for; None of older ones


class Config(Record):
    """config.json of an encoder or a classifier: what makes a network of it is for its own kind of data to judge."""

    selftaught: dict[str, Any]
