"""Pre-training with scikit-learn's face: an encoder that is fitted without labels and transforms to features."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from selftaught.commands.actions import pretrain
from selftaught.contracts import modality
from selftaught.data.sources.wrapped import on_the_host
from selftaught.data.tables.columns import Named
from selftaught.methods.handed import handed
from selftaught.run.export import load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Pretrain
from selftaught.system import generators
from selftaught.system.errors import DataError, Interrupted, UsageError
from selftaught.system.interruption import stopping
from selftaught.system.saying import quietly
from selftaught.system.text import printable
from selftaught.training.looking.features import features
from selftaught.training.resolve import open_data, preflight


class ParameterError(UsageError, ValueError):
    """A parameter that cannot be, as scikit-learn expects it to be refused."""


class InputError(DataError, ValueError):
    """An X that cannot be used, as scikit-learn expects it to be refused."""


@dataclass(eq=False, repr=False)  # which writes __init__ alone: the rest is scikit-learn's
class SelfTaughtEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Teaches an encoder from X without labels; `transform` gives its features (N, dim) in float32.

    X is an array of images (N, H, W), (N, H, W, C) or (N, C, H, W) of uint8, uint16 or floating point, rows of numbers
    (N, columns) in which NaN is a missing value, or the path or name of any data that `selftaught pretrain` takes, of
    which `transform` then gives a feature for every sample in the order of their keys.

    Parameters are those of `selftaught pretrain`, `options` holds any others of its, such as {"limit": 1000}, and
    `random_state` is its seed. `encoder` may be an nn.Module, of which a copy is taught. Runs leave no folder behind
    unless `out` names one. After `fit` there are `encoder_` (a torch module, in eval mode), `recipe_` (all that was
    decided), `metrics_` (what the run logged), `status_` (how it ended, with its label-free scores) and, for rows,
    `n_features_in_`.

    Of scikit-learn's checks, check_estimators_nan_inf does not apply, since a missing value is allowed, nor does
    check_array_api_input, since arrays are numpy's.
    """

    method: Any = "simclr"
    _: KW_ONLY
    encoder: Any = None
    views: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    epochs: float | None = None
    steps: int | None = None
    budget: str | float | None = None
    batch_size: int | str | None = None
    size: Any = None
    lr: float | None = None
    init: str | None = None
    precision: str = "auto"
    layout: str = "auto"
    options: Mapping[str, Any] | None = None
    out: str | Path | None = None
    overwrite: bool = False
    verbose: bool = False
    random_state: Any = 0

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's own name
        """Teach an encoder from X; labels may be given, as a pipeline does, and are not looked at."""
        for name in ("n_features_in_", "feature_names_in_"):  # of rows that it was fitted to before
            self.__dict__.pop(name, None)
        seen, turn = nullcontext() if self.verbose else quietly(), generators.kept("fit", waits=True)
        with _refusing_as_scikit_learn(), turn, seen, handed(self.method) as method:
            data = self._checked(X, learn=True)
            array = None if isinstance(data, str) else data
            recipe = self._recipe(_described(data), method)
            module = deepcopy(self.encoder) if isinstance(self.encoder, nn.Module) else None
            preflight(recipe, module, modality.of(data))
            if recipe.out:
                RunFolder(recipe.out).refuse_existing(resume=False, overwrite=recipe.overwrite)
            with TemporaryDirectory(prefix="selftaught-") as temporary, stopping() as stop:
                samples = open_data(recipe, stop, array=array, beside=recipe.out)
                out = recipe.out or str(Path(temporary) / "run")
                run = pretrain(recipe.model_copy(update={"out": out}), module, samples)
                self.encoder_ = load_encoder(run.folder, module)
                self.recipe_ = run.recipe.model_copy(update={"out": recipe.out}).model_dump(mode="json")
                self.metrics_, self.status_ = run.metrics(), run.status
        if modality.named(samples.preparation.modality).COLUMNS:
            self.n_features_in_ = samples.preparation.size[0]
        if (verdict := self.status_.get("verdict", "learning")) != "learning":
            warnings.warn(verdict, ConvergenceWarning, stacklevel=2)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """The encoder's features (N, dim) of X, which is of the kind that it was fitted to."""
        check_is_fitted(self)
        with _refusing_as_scikit_learn(), generators.kept("transform"), quietly():
            data = self._checked(X, learn=False)
            kind, given = modality.named(self.encoder_.preparation.modality), modality.of(data)
            if given is not kind:
                raise DataError(f"the encoder was fitted to {kind.THINGS}, and {_described(data)} holds {given.THINGS}")
            # None may be left out, or features would stand beside the labels of other samples.
            samples = kind.open_samples(data, like=self.encoder_.preparation, tolerance=0.0)
            return features(self.encoder_, samples)

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _recipe(self, data: str, method: Any) -> Pretrain:
        """What the parameters decide, with the method called by its name. Raises UsageError."""
        parameters = {key: value for key, value in self.get_params(deep=False).items() if key in Pretrain.model_fields}
        parameters["method"] = method
        if isinstance(self.encoder, nn.Module):
            parameters["encoder"] = "own"
        # A fit always starts anew and goes on to its end, so what belongs to resuming is no option of anybody's.
        fixed = {"data": data, "seed": _seed(self.random_state), "resume": False}
        fixed |= {"time_limit": None, "fingerprint": None}
        if not isinstance(self.options, Mapping | None):
            raise UsageError(f"options cannot be of type {type(self.options).__name__}: they are values by name")
        options = dict(self.options or {})
        for name in options:
            if name in parameters or name in fixed:
                raise UsageError(f"options cannot hold {name!r}; give it as a parameter, where there is one")
        values = {**fixed, **parameters, **options}
        if self.out is None:
            values.setdefault("map", 0)  # of a report that nobody could open
        return Pretrain.parse({name: _python(value) for name, value in values.items() if value is not None})

    def _checked(self, X: Any, *, learn: bool) -> str | NDArray[Any]:  # noqa: N803
        """X as it can be opened: a name, images or rows of numbers. Raises ValueError, TypeError and DataError."""
        if isinstance(X, str | os.PathLike):
            return os.fspath(X)
        if hasattr(X, "detach"):  # a tensor: neither numpy nor scikit-learn takes one with gradients, or a GPU's
            X = on_the_host(X)  # noqa: N806
        if _dimensions(X) not in (3, 4):
            least = 2 if learn else 1
            rows = validate_data(self, X, reset=learn, ensure_all_finite="allow-nan", ensure_min_samples=least)
            return self._named(rows, learn)
        images = np.asarray(X)
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise DataError("the images hold values that are not finite (NaN or infinite)")
        return images

    def _named(self, rows: NDArray[Any], learn: bool) -> NDArray[Any]:
        """Rows with the names of their columns, where scikit-learn knows them, so that a run knows the same table.

        No table has two columns of one name, and encoders of before have learnt from none: such go by their places.
        """
        names = [*map(str, getattr(self, "feature_names_in_", ()))]
        if len({*names}) < rows.shape[1] or not (learn or self._has_learnt(names)):
            return rows
        named = rows.view(Named)
        named.names = names
        return named

    def _has_learnt(self, names: Sequence[str]) -> bool:
        columns = getattr(self.encoder_.preparation, "columns", ())
        return [column.name for column in columns] == names


@contextmanager
def _refusing_as_scikit_learn() -> Iterator[None]:
    """Errors with the same line, of the kinds that scikit-learn and its users look for."""
    try:
        yield
    except UsageError as error:
        raise ParameterError(str(error)) from None
    except DataError as error:
        raise InputError(str(error)) from None
    except Interrupted as error:  # a search over parameters would take it for a failed fit and go on
        raise KeyboardInterrupt(str(error)) from None


def _described(data: str | NDArray[Any]) -> str:
    return printable(data) if isinstance(data, str) else f"an array of shape {data.shape}"


def _dimensions(X: Any) -> int:  # noqa: N803
    return len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim


def _seed(random_state: Any) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _python(value: Any) -> Any:
    """Plain values in place of numpy's, which searches over parameters draw."""
    if isinstance(value, Mapping):
        return {key: _python(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_python(inside) for inside in value]
    return value.item() if isinstance(value, np.generic) else value
