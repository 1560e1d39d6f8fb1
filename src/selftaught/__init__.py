"""Teach a network from your own unlabelled data, then hand it your few labels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .encoder import Encoder as Encoder
    from .encoder import TokenEncoder as TokenEncoder
    from .estimator import SelfTaughtEncoder as SelfTaughtEncoder
    from .export import load_encoder as load_encoder
    from .findings import Findings as Findings
    from .judging.comparison import Comparison as Comparison
    from .method import Method as Method
    from .run import Run as Run
    from .transfer import predict as predict

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "Encoder",
    "Findings",
    "Method",
    "Run",
    "SelfTaughtEncoder",
    "TokenEncoder",
    "check",
    "compare",
    "evaluate",
    "load_encoder",
    "predict",
    "pretrain",
]

_HOMES = {
    "Encoder": "encoder",
    "TokenEncoder": "encoder",
    "Comparison": "judging.comparison",
    "Findings": "findings",
    "Method": "method",
    "Run": "run",
    "SelfTaughtEncoder": "estimator",
    "load_encoder": "export",
    "predict": "transfer",
}


def pretrain(data: "str | Path", *, encoder: Any = None, **options: Any) -> "Run":
    """Teach an encoder from unlabelled data; options as of `selftaught pretrain`, dots as nested dictionaries.

    `encoder` is a name or the user's own nn.Module: `pretrain("photos/", method="simclr", encoder=my_network)`.
    """
    from torch import nn

    from .recipes import Pretrain
    from .training.pretrain import pretrain as carry_out

    module = encoder if isinstance(encoder, nn.Module) else None
    if encoder is not None:
        options["encoder"] = "own" if module is not None else encoder
    return carry_out(Pretrain.parse({"data": data, **options}), module)


def check(data: "str | Path", **options: Any) -> "Findings":
    """Look at data before training; options as of `selftaught check`. What cannot be used is not `usable`."""
    from .checking import check as carry_out
    from .recipes import Check

    return carry_out(Check.parse({"data": data, **options}))


def evaluate(run: "str | Path | Run", train: "str | Path", test: "str | Path | None" = None, **options: Any) -> Any:
    """Judge a run on labelled images; options as of `selftaught evaluate`."""
    from .run import Run

    return (run if isinstance(run, Run) else Run.open(run)).evaluate(train, test, **options)


def compare(data: "str | Path", methods: "str | list[str] | None" = None, **options: Any) -> "Comparison":
    """Train several methods with the same budget and rank them; options as of `selftaught compare`."""
    from .judging.compare import compare as carry_out
    from .recipes import Compare

    named = {} if methods is None else {"methods": methods}
    return carry_out(Compare.parse({"data": data, **named, **options}))


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so nothing that needs it is imported before it is asked for.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
