"""How people write quantities: 10m, 2GB, 48x64, 5%, rotation:0.4; each is parsed, checked and kept as plain data."""

import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from selftaught.system import bounds
from selftaught.system.components import Part, Said
from selftaught.system.text import LARGEST, bytes_of

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 100 * 365 * UNITS["d"]  # a hundred years
MOST_STEPS = 1 << 40
MOST_DEVICES = 1024  # of one machine
MOST_PROCESSES = 1 << 20
HUB = "hub:"  # before USER/NAME, what a model is exported to
REPO = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_](?:[\w.\-]*[A-Za-z0-9_])?", re.ASCII)  # half a name of the Hub's
NONE = "none"  # of the weights are spread
LEVEL = 1e30  # the largest value of an image that is black or white
LOCAL = "local-dir:"  # before a folder that timm is to look into, as it has it
ALL, MOST_ADAPTED = "all", {"last": 512, "lora": 1024}  # weights that learn


def weights(value: Any) -> Any:
    """Weights to start from, a folder without what timm has before it: `local-dir:theirs` is `theirs`."""
    return (value.removeprefix(LOCAL) or value) if isinstance(value, str) else value


def seconds(value: Any) -> Any:
    """A duration such as 90s, 10m, 1.5h or 2d in seconds; plain numbers are seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value.strip())):
        return float(match[1]) * UNITS[match[2] or "s"]
    if isinstance(value, str):
        raise ValueError("a duration looks like 90s, 10m or 1.5h")
    return value


def batch(value: Any) -> Any:
    """A number of samples above one, or auto: to be measured."""
    if value == "auto":
        return value
    with suppress(ValueError, TypeError, OverflowError):  # one error line for all that a batch size cannot be
        if float(value) >= 2 and float(value) == int(float(value)):
            return int(float(value))
    raise ValueError("a batch has two samples or more, or is auto")


def cadence(value: Any) -> Any:
    """How often: a number of steps (500) or a duration (10m)."""
    if isinstance(value, float) or (isinstance(value, str) and not value.strip().isdecimal()):
        if not 0 <= (given := seconds(value)) <= LONGEST:
            raise ValueError("a time is from 0s to a hundred years")
        return f"{given:f}".rstrip("0").rstrip(".") + "s"  # 10m and 600s are one setting on resume
    if not isinstance(value, int | str):  # a list, a date or nothing at all
        raise ValueError("it is a number of steps, such as 500, or a duration, such as 10m")
    if not 0 <= int(value) <= MOST_STEPS:
        raise ValueError(f"there are {MOST_STEPS:,} steps at most")
    return str(int(value))


def height_width(value: Any) -> Any:
    """A size such as 32 or 48x64 (height x width) in pixels."""
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, str):
        if not re.fullmatch(r"\d+(x\d+)?", value.strip()):
            raise ValueError("a size looks like 32 or 48x64 (height x width)")
        numbers = [int(n) for n in value.split("x")]
        return (numbers[0], numbers[-1])
    return value


def part(value: Any) -> Any:
    """A component given by its bare name; YAML and Python may say its options as well."""
    return {"name": value} if isinstance(value, str) else value


class Helper(Said):
    """Another method on the same encoder, and how much its loss counts."""

    method: Annotated[Part, BeforeValidator(part)]
    weight: bounds.Positive = 1.0

    def __str__(self) -> str:
        return f"{self.method.name}:{self.weight:g}"


class Growth(Said):
    """Views of a smaller side at first: the share of the whole side, and the share of the steps that has them."""

    side: bounds.ShareAboveZero
    steps: bounds.BelowOne

    def __str__(self) -> str:
        return f"{self.side:g}:{self.steps:g}"

    def turn(self, steps: int) -> int:
        """The first of so many steps that has whole views."""
        return round(self.steps * steps)


def growth(value: Any) -> Any:
    """Growth such as 0.5:0.75."""
    if isinstance(value, str):
        side, _, steps = value.partition(":")
        try:
            return {"side": float(side), "steps": float(steps)}
        except ValueError:
            raise ValueError("growth looks like 0.5:0.75, a share of the side for a share of the steps") from None
    return value


def helper(value: Any) -> Any:
    """A helper such as rotation:0.4, or rotation alone."""
    if isinstance(value, str):
        name, _, weight = value.partition(":")
        try:
            return {"method": name, "weight": float(weight or 1)}
        except ValueError:
            raise ValueError("a helper looks like rotation:0.4, a method and the weight of its loss") from None
    return value


def value_range(value: Any) -> Any:
    """The values that become black and white, such as 0:4095, or auto, or each."""
    if value in ("auto", "each"):
        return value
    try:
        low, high = map(float, value.partition(":")[::2] if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError("a range looks like 0:4095, or is auto or each") from None
    if not -LEVEL <= low < high <= LEVEL:
        raise ValueError("a range begins below its end, as 0:4095 does")
    return low, high


def share(value: Any) -> Any:
    """A part of the whole, such as 0.05 or 5%."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip().removesuffix("%")) / 100
        except ValueError:
            raise ValueError("a share looks like 5% or 0.05") from None
    return value


def names(value: Any) -> Any:
    """Names in a list as they are written in one word: simclr,mae."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def adapted(value: Any) -> Any:
    """Which weights learn: all, norms, last:4, or lora:8."""
    if value in (ALL, "norms"):
        return value
    kind, _, number = str(value).partition(":")
    if kind not in MOST_ADAPTED or not number.isdecimal():
        raise ValueError("it is all, norms, last:4 (of the layers), or lora:8 (ranks that are added)")
    if len(number) > 9 or not 1 <= int(number) <= MOST_ADAPTED[kind]:
        raise ValueError(f"{kind} takes a number from 1 to {MOST_ADAPTED[kind]:,}")
    return f"{kind}:{int(number)}"


def devices(value: Any) -> Any:
    """How many devices: a number, all, or auto."""
    if str(value) in ("all", "auto") or (str(value).isdecimal() and 1 <= int(value) <= MOST_DEVICES):
        return str(value)
    raise ValueError(f"it is a number from 1 to {MOST_DEVICES:,}, or all")


def shards(value: Any) -> Any:
    """Over how many processes to spread weights: a number, none, or auto."""
    if str(value) in (NONE, "auto") or (str(value).isdecimal() and 2 <= int(value) <= MOST_PROCESSES):
        return str(value)
    raise ValueError(f"it is a number of processes from 2 to {MOST_PROCESSES:,}, none or auto")


EXPORTS = ("onnx", "executorch")


def target(value: Any) -> Any:
    """What a model is exported to: onnx, executorch, or hub:USER/NAME, named as the Hub allows."""
    text = str(value)
    if text in EXPORTS:
        return text
    repo = text.removeprefix(HUB)
    user, _, name = repo.partition("/")
    if text.startswith(HUB) and all(REPO.fullmatch(part) for part in (user, name)) and len(repo) <= 96:
        return text
    raise ValueError(f"it is {', '.join(EXPORTS)} or hub:USER/NAME, with letters, digits and - _ . between them")


def licence(value: Any) -> Any:
    """A licence by the Hub's name of it."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.\-]{0,63}", str(value)):
        raise ValueError("a licence is written as the Hub does: apache-2.0, cc-by-nc-4.0, other")
    return str(value)


Weights = Annotated[str, BeforeValidator(weights)]
Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=LONGEST)]
BatchSize = Annotated[Annotated[int, Field(le=1 << 24)] | Literal["auto"], BeforeValidator(batch)]
Bytes = Annotated[int, BeforeValidator(bytes_of), Field(ge=0, le=LARGEST)]
Cadence = Annotated[str, BeforeValidator(cadence)]
Range = Annotated[Literal["auto", "each"] | tuple[float, float], BeforeValidator(value_range)]
Share = Annotated[float, BeforeValidator(share), Field(ge=0, le=1)]
Side = Annotated[int, bounds.whole(1, 16_384, "pixels")]
Size = Annotated[tuple[Side, Side], BeforeValidator(height_width)]
Named = Annotated[Part, BeforeValidator(part)]
Growing = Annotated[Growth, BeforeValidator(growth)]
Also = Annotated[Helper, BeforeValidator(helper)]
Adapted = Annotated[str, BeforeValidator(adapted)]
Devices = Annotated[str, BeforeValidator(devices)]
Names = Annotated[str, BeforeValidator(names)]
Shards = Annotated[str, BeforeValidator(shards)]
Licence = Annotated[str, BeforeValidator(licence)]
Target = Annotated[str, BeforeValidator(target)]
