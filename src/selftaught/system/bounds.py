"""What the options of parts may be: kinds of numbers, each with its bounds and in words.

`width: bounds.Width = 512` is an option that is a layer's width. `components.checked` holds values to the bounds before
anything is built, and refuses what is not finite of all of them. Upper bounds lie far beyond what is of use: they are
there for a slip of the hand and for a stranger's recipe, which would take all the memory there is.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

MANY = 1 << 24  # of what the data bounds further


def whole(low: int, high: int, what: str = "a whole number") -> Any:
    """Bounds of an int, both of them allowed."""
    return Field(ge=low, le=high, description=f"{what} from {low:,} to {high:,}")


def number(low: float, high: float, what: str = "a number") -> Any:
    """Bounds of a float, both of them allowed."""
    return Field(ge=low, le=high, description=f"{what} from {low:,g} to {high:,g}")


def words(what: str) -> Any:
    """What a value must be, said of the whole of it where its parts have bounds of their own."""
    return Field(description=what)


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    """A pair as it is. Raises ValueError where the first is the larger one."""
    if pair[0] > pair[1]:
        raise ValueError("the smaller one comes first")
    return pair


def several(value: Any) -> Any:
    """A number alone as one of several."""
    return (value,) if isinstance(value, int | float) else value


Width = Annotated[int, whole(1, 32_768)]  # numbers in a layer, or that leave a head
Outputs = Annotated[int, whole(1, 1 << 20)]  # of a head that answers with one of so many words
Blocks = Annotated[int, whole(1, 512)]  # layers of a network, one after the other
Layers = Annotated[int, whole(0, 512)]  # the same, where there may be none
Heads = Annotated[int, whole(1, 256)]  # of attention, or of answers
Crops = Annotated[int, whole(0, 64)]  # views beside the large ones, each of which costs a pass
Many = Annotated[int, whole(1, MANY)]  # samples, prototypes or negatives, which the data bounds as well
Group = Annotated[int, whole(2, 1 << 16)]  # samples that statistics are taken of
Rounds = Annotated[int, whole(1, 1000)]  # of something done over and over
Pixels = Annotated[int, whole(1, 4096, "pixels")]

Share = Annotated[float, number(0, 1, "a share")]
Inside = Annotated[float, number(0.01, 0.99, "a share")]  # some, and not all
Gap = Annotated[float, number(0, 0.9, "a share")]
Probability = Annotated[float, number(0, 1, "a probability")]
Momentum = Annotated[float, number(0, 1)]  # of what moves slowly: 1 stands still
Temperature = Annotated[float, number(0.001, 100)]  # scores are divided by it
Weight = Annotated[float, number(0, 1e6)]  # of a term among others
Positive = Annotated[float, number(1e-6, 1e6)]

Rising = AfterValidator(rising)
Shares = Annotated[tuple[Share, Share], Rising, words("two shares from 0 to 1, such as 0.1,0.5")]
Moments = Annotated[tuple[Share, ...], BeforeValidator(several), words("shares of training, such as 0.6,0.8")]
BelowOne = Annotated[float, Field(ge=0, lt=1, description="a share below 1")]
ShareAboveZero = Annotated[float, Field(gt=0, le=1, description="a share above 0")]
SharesBelowOne = Annotated[tuple[BelowOne, BelowOne], words("two shares below 1, such as 0.9,0.999")]
Rate = Annotated[float, Field(gt=0, le=1e4, description="a number above 0, at most 10,000")]  # of learning
Decay = Annotated[float, number(0, 1e4)]  # of weights
Batch = Annotated[int, whole(2, 1 << 24)]
Ratio = Annotated[float, number(0.05, 20)]
Ratios = Annotated[tuple[Ratio, Ratio], Rising, words("two numbers from 0.05 to 20, such as 0.8,1.2")]
