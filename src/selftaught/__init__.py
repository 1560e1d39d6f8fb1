"""Teach a network from your own unlabelled data, then hand it your few labels."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the public face: every name that people and plug-ins may import from here, and where it lives
    from selftaught.commands.estimator import SelfTaughtEncoder as SelfTaughtEncoder
    from selftaught.commands.python import Run as Run
    from selftaught.commands.python import check as check
    from selftaught.commands.python import compare as compare
    from selftaught.commands.python import embed as embed
    from selftaught.commands.python import evaluate as evaluate
    from selftaught.commands.python import find as find
    from selftaught.commands.python import odd as odd
    from selftaught.commands.python import pack as pack
    from selftaught.commands.python import pretrain as pretrain
    from selftaught.commands.python import preview as preview
    from selftaught.commands.python import select as select
    from selftaught.commands.python import steps as steps
    from selftaught.contracts.encoder import Encoder as Encoder
    from selftaught.contracts.encoder import TokenEncoder as TokenEncoder
    from selftaught.contracts.findings import Findings as Findings
    from selftaught.contracts.method import Data as Data
    from selftaught.contracts.method import Method as Method
    from selftaught.contracts.method import Training as Training
    from selftaught.data.sources.arrays import Arrays as Arrays
    from selftaught.data.sources.encoded import Encoded as Encoded
    from selftaught.data.sources.wrapped import Series as Series
    from selftaught.data.sources.wrapped import Texts as Texts
    from selftaught.judging.comparison import Comparison as Comparison
    from selftaught.judging.predict import predict as predict
    from selftaught.run.classifier import load_classifier as load_classifier
    from selftaught.run.export import load_encoder as load_encoder
    from selftaught.system import bounds as bounds
    from selftaught.system import devices as devices
    from selftaught.system import distributed as distributed
    from selftaught.system import randomness as randomness
    from selftaught.system.errors import Interrupted as Interrupted
    from selftaught.system.errors import UsageError as UsageError
    from selftaught.system.precision import precise as precise
    from selftaught.system.saying import quiet as quiet
    from selftaught.training.own_views import on_pictures as on_pictures

__version__ = "0.1.0"


@cache
def _homes() -> dict[str, str]:
    """Every public name with its place, as the list above has them; it is read, so that none is imported unasked."""
    import ast

    listed = ast.parse(__spec__.loader.get_source(__name__))  # type: ignore[union-attr]
    imports = [node for node in ast.walk(listed) if isinstance(node, ast.ImportFrom) and node.col_offset]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so nothing that needs it is imported before it is asked for, nor is the list read.
    if name == "__all__":
        value: Any = sorted(_homes())
    elif name in _homes():
        home = import_module(_homes()[name])
        value = getattr(home, name, None) or import_module(f"{home.__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_homes()]
