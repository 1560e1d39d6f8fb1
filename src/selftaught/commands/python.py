"""The commands in Python, and a run with what can be done with it; nothing is imported before it is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selftaught.run.folder import Run as Folder

if TYPE_CHECKING:
    from selftaught.contracts.encoder import Encoder
    from selftaught.contracts.findings import Findings
    from selftaught.judging.ranking import Comparison
    from selftaught.judging.result import Evaluation


class Run(Folder):
    """A run folder; see the design for its layout. It can be moved and opened without this package."""

    def encoder(self) -> "Encoder":
        """The pre-trained encoder, in eval mode."""
        from selftaught.run.export import load_encoder

        return load_encoder(self.folder, module=self.module)

    def evaluate(self, train: str | Path, test: str | Path | None = None, **options: Any) -> "Evaluation":
        """Judge the encoder on labelled images; options as of `selftaught evaluate`."""
        from selftaught.judging.evaluate import evaluate
        from selftaught.run.recipes import Evaluate

        values = {
            "run": str(self.folder),
            "train": train,
            "test": test,
            **options,
        }
        return evaluate(Evaluate.parse(values), module=self.module)

    def finetune(self, labelled: str | Path, out: str | Path, **options: Any) -> dict[str, Any]:
        """Make a classifier of the encoder in the folder `out`; options as of `selftaught finetune`; its metrics."""
        from selftaught.judging.transfer import finetune
        from selftaught.run.recipes import Finetune

        values = {"run": str(self.folder), "labelled": labelled, "out": out, **options}
        return finetune(Finetune.parse(values), self.module)

    def embed(self, data: str | Path, out: str | Path) -> Path:
        """Write the features of images to `out` (.npz or .parquet), with their keys."""
        from selftaught.commands.embed import embed

        return embed(self.folder, str(data), Path(out), module=self.module)


def pretrain(data: "str | Path", *, encoder: Any = None, **options: Any) -> "Run":
    """Teach an encoder from unlabelled data; options as of `selftaught pretrain`, dots as nested dictionaries.

    `encoder` is a name or the user's own nn.Module: `pretrain("photos/", method="simclr", encoder=my_network)`.
    """
    from torch import nn

    from selftaught.run.recipes import Pretrain
    from selftaught.training.pretrain import pretrain as carry_out

    module = encoder if isinstance(encoder, nn.Module) else None
    if encoder is not None:
        options["encoder"] = "own" if module is not None else encoder
    done = carry_out(Pretrain.parse({"data": data, **options}), module)
    return Run(done.folder, module)


def check(data: "str | Path", **options: Any) -> "Findings":
    """Look at data before training; options as of `selftaught check`. What cannot be used is not `usable`."""
    from selftaught.commands.check import check as carry_out
    from selftaught.run.recipes import Check

    return carry_out(Check.parse({"data": data, **options}))


def evaluate(run: "str | Path | Run", train: "str | Path", test: "str | Path | None" = None, **options: Any) -> Any:
    """Judge a run on labelled images; options as of `selftaught evaluate`."""
    return (run if isinstance(run, Run) else Run.open(run)).evaluate(train, test, **options)


def compare(data: "str | Path", methods: "str | list[str] | None" = None, **options: Any) -> "Comparison":
    """Train several methods with the same budget and rank them; options as of `selftaught compare`."""
    from selftaught.judging.compare import compare as carry_out
    from selftaught.reporting.compare_page import write_page
    from selftaught.run.recipes import Compare

    named = {} if methods is None else {"methods": methods}
    return carry_out(Compare.parse({"data": data, **named, **options}), write_page)
