"""The central abstraction: a pretext task, which asks an unlabelled sample a question it answers itself."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.system import bounds


@dataclass(frozen=True)
class Data:
    """What a method may know of the data: how many samples, and the shape and statistics of one view."""

    count: int
    shape: tuple[int, ...]  # of the plain view: (C, H, W) of images, (C, columns) of rows, (1, N) of words
    mean: tuple[float, ...]  # per channel, of values in [0, 1]; views are (value - mean) / std
    std: tuple[float, ...]
    masked: bool = False  # whether the second half of the channels says what was seen of the first: 1, else 0
    words: int = 0  # numbers in the vocabulary, where samples are words (contracts/encoder.py); 0 where they are none

    @classmethod
    def of(cls, preparation: Any, count: int) -> Self:
        """What a preparation says of so many samples."""
        masked, words = getattr(preparation, "masked", False), getattr(preparation, "words", 0)
        return cls(count, preparation.shape, preparation.mean, preparation.std, masked, words)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A method's small-data preset; every field can be overridden in the recipe."""

    # Most presets take AdamW, where many papers take LARS for batches of thousands: recipes/ has the papers' settings.
    optimizer: Literal["adamw", "sgd", "lars", "adam"] = "adamw"  # adam: weight decay is a part of the gradient
    lr: bounds.Rate = 1e-3  # per 256 samples
    scaling: Literal["linear", "sqrt", "none"] = "linear"  # how lr grows with the batch
    batch_size: bounds.Batch = 256
    weight_decay: bounds.Decay = 0.05
    weight_decay_end: bounds.Decay | None = None  # cosine from weight_decay to this
    decay_norms: bool = False  # whether weight decay also acts on biases and norms
    momentum: bounds.Momentum = 0.9  # SGD and LARS
    betas: bounds.SharesBelowOne = (0.9, 0.999)  # AdamW
    warmup: bounds.Share = 0.1  # fraction of training
    final_lr: bounds.Share = 0.0  # as a fraction of the peak
    drops: bounds.Moments = ()  # when, in place of a cosine, lr falls to `drop` of what it was
    drop: bounds.Share = 0.1
    fixed_lr: tuple[str, ...] = ()  # parts (parameter name prefixes) whose lr has no schedule
    bias_lr: bounds.Rate | None = None  # of biases and norms, per 256 samples, where they have one of their own
    clip: bounds.Positive | None = None  # gradient norm
    layer_decay: bounds.ShareAboveZero = 1.0  # lr of an encoder's layer as a share of the next one's; 1: all alike
    frozen: bounds.BelowOne = 0.0  # share of training in which the first half of its layers stays as it is


class Method(nn.Module, ABC):
    """A pretext task: which views to make of an unlabelled sample, and what to ask of their encodings.

    A subclass names its `views`, adds its heads in `__init__`, and returns named loss terms from `forward`.
    Positional parameters of `__init__` are given by the system; keyword-only ones are the user's options.
    """

    question: ClassVar[str] = ""  # what it asks a sample, in one line
    paper: ClassVar[str] = ""  # where it comes from (URL); both may be left out of a method for a notebook
    views: tuple[str, ...] = ("plain",)  # set anew in __init__ where crop counts are options
    preset: ClassVar[Training] = Training()
    needs_tokens: ClassVar[bool] = False  # whether only a TokenEncoder will do
    needs_color: ClassVar[bool] = False  # whether samples must have three colour channels
    needs_places: ClassVar[bool] = False  # whether it asks what lies beside what, which columns of a row do not tell
    needs_images: ClassVar[bool] = False  # whether it asks about places in an image, which rows do not have
    needs_turns: ClassVar[bool] = False  # whether it turns samples, whose axes must mean the same for that
    needs_up: ClassVar[bool] = False  # whether it asks which way is up: of what is turned at random nobody can tell
    needs_words: ClassVar[bool] = False  # whether it asks about words, which only texts have
    needs_time: ClassVar[bool] = False  # whether it asks about moments of one axis, which only series have
    needs_values: ClassVar[bool] = False  # whether it asks about places with values, such as pixels: words are none
    needs_teacher: ClassVar[bool] = False  # whether it is given another encoder, frozen, after the data: --teacher
    no_tokens: ClassVar[str] = ""  # what was measured on vision transformers, where it teaches them nothing
    whole_views: ClassVar[bool] = False  # whether it reckons with how large views are: none for --grow to shrink
    experimental: ClassVar[bool] = False  # not yet shown to beat its own untrained encoder

    def __init__(self, encoder: Encoder, data: Data, /) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def tokens(self) -> TokenEncoder:
        """The encoder, for a method that `needs_tokens` and so gets no other kind."""
        return cast(TokenEncoder, self.encoder)

    @abstractmethod
    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        """Loss terms of one batch of views. Training minimises their sum; each is logged under its name."""

    def start(self, everything: Tensor) -> None:
        """Run once before step 0, never on resume; `everything` is a bounded sample of plain views."""

    @property
    def starts(self) -> bool:
        """Whether `start` does anything, so that a sample of the data is only decoded for those who look at it."""
        return type(self).start is not Method.start

    def refuse_batch(self, batch: int) -> None:
        """Raise UsageError where `batch` samples, over all processes, are too few for the question."""

    # What a batch leaves behind (queue, bank, centre, teacher) waits for `after_step`: the loss is to see the state of
    # earlier batches, and a step that is left out because it is not finite leaves nothing behind.

    def before_step(self, progress: float) -> None:
        """Run between backward and the optimiser; `progress` runs from 0 to 1 over training."""

    def after_step(self, progress: float) -> None:
        """Follow an optimiser step: move a teacher, a temperature, a queue."""

    def chance(self, batch: int) -> float | None:
        """The summed loss of a network that has learnt nothing, where it is known, for `batch` samples."""
        return None

    @property
    def measures(self) -> dict[str, Tensor]:
        """What else the last batch came to, single numbers by name that are no part of the loss: they are logged."""
        return {}

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        """What to show a person, named image batches (B, C, H, W) in normalised values, such as the input,
        what the network saw and what it answered."""
        return dict(zip(self._view_names(), views))

    def _view_names(self) -> list[str]:
        shown = [name for name in self.views if name != "index"]
        return [
            f"{name} {shown[:place].count(name) + 1}" if shown.count(name) > 1 else name
            for place, name in enumerate(shown)
        ]
