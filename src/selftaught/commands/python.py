"""The commands in Python, and a run with what can be done with it; nothing is imported before it is asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from selftaught.commands.stepping import Steps
from selftaught.commands.table import carried_out
from selftaught.data.sources.handed import handed
from selftaught.run.folder import RunFolder
from selftaught.system.errors import UsageError
from selftaught.system.saying import say
from selftaught.system.showing import Shown

if TYPE_CHECKING:
    from selftaught.contracts.encoder import Encoder
    from selftaught.contracts.findings import Findings
    from selftaught.data.sources.manifest import Manifest
    from selftaught.judging.comparison import Comparison
    from selftaught.judging.find import Found
    from selftaught.judging.odd import Oddities
    from selftaught.judging.result import Evaluation
    from selftaught.judging.select import Selection
    from selftaught.training.hooks import Step


class Run(Shown, RunFolder):
    """A run folder; see the design for its layout. It can be moved and opened without this package."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """An existing run. Raises UsageError of what is none."""
        if not isinstance(folder, str | Path):
            way = "give its folder, or what pretrain returns"
            raise UsageError(f"a run cannot be of type {type(folder).__name__}: {way}")
        return super().open(folder)

    def encoder(self) -> "Encoder":
        """The pre-trained encoder, in eval mode."""
        from selftaught.run.export import load_encoder
        from selftaught.system import generators

        with generators.kept("encoder"):
            return load_encoder(self.folder, module=self.module)

    def evaluate(self, train: Any, test: Any = None, **options: Any) -> "Evaluation":
        """Judge the encoder on labelled images, as `pretrain` takes them; options as of `selftaught evaluate`."""
        result: Evaluation = self._with("evaluate", train=train, test=test, **options)
        if result.unkept:
            say(f"warning: {result.unkept}")
        return result

    def finetune(self, labelled: Any, out: str | Path, **options: Any) -> dict[str, Any]:
        """Make a classifier of the encoder in the folder `out`; options as of `selftaught finetune`; its metrics."""
        return self._with("finetune", labelled=labelled, out=out, **options)

    def embed(self, data: Any, out: str | Path, **options: Any) -> Path:
        """Write the features of images to `out` (.npz or .parquet), with their keys."""
        return self._with("embed", data=data, out=out, **options)

    def select(self, data: Any, out: str | Path, **options: Any) -> "Selection":
        """Choose which samples to label first, and write them to `out`; options as of `selftaught select`."""
        return self._with("select", data=data, out=out, **options)

    def find(self, data: Any, like: Any, **options: Any) -> "Found":
        """Find the samples of `data` that are most like some; options as of `selftaught find`.

        like: the name of a sample of `data` or a path, a list of these, or data of its own as `pretrain` takes it.
        """
        names = [like] if isinstance(like, str | Path) else like
        if isinstance(names, list) and all(isinstance(name, str | Path) for name in names):
            return self._with("find", data=data, like=[str(name) for name in names], **options)
        with handed(like) as name:
            return self._with("find", data=data, like=[name], **options)

    def odd(self, data: Any, **options: Any) -> "Oddities":
        """Say what is odd among samples; options as of `selftaught odd`."""
        return self._with("odd", data=data, **options)

    def _with(self, command: str, /, **values: Any) -> Any:
        from selftaught.system.devices import unmoved

        with unmoved(self.module):
            return carried_out(command, {"run": str(self.folder), **values}, self.module)


def pretrain(
    data: Any,
    *,
    encoder: Any = None,
    views: "Mapping[str, Any] | None" = None,
    on_step: "Callable[[Step], Any] | None" = None,
    on_look: "Callable[[dict[str, Any]], Any] | None" = None,
    on_end: "Callable[[dict[str, Any]], Any] | None" = None,
    **options: Any,
) -> "Run":
    """Teach an encoder from unlabelled data; options as of `selftaught pretrain`, dots as nested dictionaries.

    `data` is a path or name; an array, memory-map or tensor; a list of paths, PIL images or arrays; a table of pandas,
    polars or pyarrow; or an object that has a length and gives an item for each number, such as a torch Dataset or one
    of Hugging Face. Items are PIL images, arrays (H, W) or (H, W, C), tensors (C, H, W), bytes or paths, or tuples or
    dictionaries of which `column` names the image. A pair (data, labels) has a label for each sample (N,), where labels
    are wanted. The run is resumed with the same data given again.

    `views` has options by the name of a view, or a function that makes it: it takes a batch of plain views (B, C, H, W)
    in [0, 1] and gives as many. Random numbers are those of `selftaught.randomness`, such as uniform((B, 1), "shift"),
    so that the run can be resumed. `selftaught.on_pictures` makes one of a function of single PIL images.

    `metadata` is a CSV or .parquet with a column of paths, a table, or a dictionary of columns; a table without such a
    column has a row for each sample, of data whose samples have numbers for names, such as arrays. `groups`,
    `positives`, `suppress` and `predict` name its columns, or those that stand beside the samples in `data`.

    `on_step` is called after each step with its `step`, `steps`, `terms` and `loss` (which waits for the device);
    `on_look` after each look at the network with its line of metrics.jsonl; `on_end` with the status.

    `encoder` is a name or the user's own nn.Module: `pretrain("photos/", method="simclr", encoder=my_network)`.
    """
    from torch import nn

    from selftaught.training.hooks import Hooks

    module = encoder if isinstance(encoder, nn.Module) else None
    if encoder is not None:
        options["encoder"] = "own" if module is not None else encoder
    own, chosen = _parted(views)
    if own:
        options["own_views"] = ",".join(sorted(own))
    if chosen:
        options["views"] = chosen
    hooks = Hooks(on_step, on_look, on_end, own)
    return Run(carried_out("pretrain", {"data": data, **options}, module, None, hooks).folder, module)


def steps(data: Any, *, on_step: "Callable[[Step], Any] | None" = None, **options: Any) -> Steps:
    """Pre-train in a loop, `for step in selftaught.steps(photos, method="simclr")`; arguments as of `pretrain`.

    Each `step` has its number `step` of `steps`, the `terms` of its loss, and `loss`, their sum. The run is `.run` of
    what this returns, once the loop is through; one that is left early is saved, and resumed with resume=True.
    """

    def train(give: "Callable[[Step], Any]") -> Run:
        def both(step: "Step") -> None:
            if on_step:
                on_step(step)
            give(step)

        return pretrain(data, on_step=both, **options)

    return Steps(train)


def check(data: Any, **options: Any) -> "Findings":
    """Look at data before training; options as of `selftaught check`. What cannot be used is not `usable`."""
    return carried_out("check", {"data": data, **options})


def pack(data: Any, out: "str | Path", **options: Any) -> "Manifest":
    """Write images, given as to `pretrain`, as a few large files into `out`; options as of `selftaught pack`.

    The result is what manifest.json there says; the folder can be given as data.
    """
    return carried_out("pack", {"data": data, "out": out, **options})


def preview(data: Any, *, views: "Mapping[str, Any] | None" = None, **options: Any) -> Path:
    """Draw what a method shows a network of data, given as to `pretrain`, and asks; the picture's file.

    Options as of `selftaught preview`: `out` is FILE.png or FILE.html. `views` may be functions, as of `pretrain`.
    """
    own, chosen = _parted(views)
    return carried_out("preview", {"data": data, "views": chosen, **options}, own)


def _parted(views: Any) -> tuple[dict[str, Any], Any]:
    """The functions among views, and the options of the others; what are none at all is for the recipe to refuse."""
    if not isinstance(views, Mapping):
        return {}, {} if views is None else views
    own = {name: made for name, made in views.items() if callable(made)}
    return own, {name: chosen for name, chosen in views.items() if name not in own}


def _opened(run: Any) -> "Run":
    return run if isinstance(run, Run) else Run.open(run)


def evaluate(run: "str | Path | Run", train: Any, test: Any = None, **options: Any) -> Any:
    """Judge a run on labelled images, given as to `pretrain`; options as of `selftaught evaluate`."""
    return _opened(run).evaluate(train, test, **options)


def embed(run: "str | Path | Run", data: Any, out: "str | Path", **options: Any) -> Path:
    """Write the features of images, given as to `pretrain`, to `out` (.npz or .parquet), with their keys."""
    return _opened(run).embed(data, out, **options)


def select(run: "str | Path | Run", data: Any, out: "str | Path", **options: Any) -> "Selection":
    """Choose which samples, given as to `pretrain`, to label first; options as of `selftaught select`.

    Its `keys` are those of the samples in their order, `facts()` what is known of each; `out` is a CSV to fill in.
    """
    return _opened(run).select(data, out, **options)


def find(run: "str | Path | Run", data: Any, like: Any, **options: Any) -> "Found":
    """Find the samples of `data`, given as to `pretrain`, that are most like some; options as of `selftaught find`.

    `like` is the name of a sample, a path, a list of these, or data of its own. The result has the `keys` of what was
    found, and `facts()` of each.
    """
    return _opened(run).find(data, like, **options)


def odd(run: "str | Path | Run", data: Any, **options: Any) -> "Oddities":
    """Say which samples, given as to `pretrain`, are odd, twice there or mislabelled; options as of `selftaught odd`.

    The result has `facts`, a dictionary for each, and how many there are in `counts()`.
    """
    return _opened(run).odd(data, **options)


def compare(data: Any, methods: "str | list[str] | None" = None, **options: Any) -> "Comparison":
    """Train several methods with the same budget and rank them; options as of `selftaught compare`."""
    named = {} if methods is None else {"methods": methods}
    return carried_out("compare", {"data": data, **named, **options})
