"""Teach a network from your own unlabelled data, then hand it your few labels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selftaught.commands.estimator import SelfTaughtEncoder
    from selftaught.commands.python import Run, check, compare, evaluate, pretrain
    from selftaught.contracts.encoder import Encoder, TokenEncoder
    from selftaught.contracts.findings import Findings
    from selftaught.contracts.method import Method
    from selftaught.judging.predict import predict
    from selftaught.judging.ranking import Comparison
    from selftaught.run.export import load_encoder


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
    "Encoder": "contracts.encoder",
    "TokenEncoder": "contracts.encoder",
    "Comparison": "judging.ranking",
    "Findings": "contracts.findings",
    "Method": "contracts.method",
    "Run": "commands.python",
    "check": "commands.python",
    "compare": "commands.python",
    "evaluate": "commands.python",
    "pretrain": "commands.python",
    "SelfTaughtEncoder": "commands.estimator",
    "load_encoder": "run.export",
    "predict": "judging.predict",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so nothing that needs it is imported before it is asked for.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name == "randomness":  # what the method of a plug-in draws with
        from .system import randomness

        return randomness
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
