"""The encoder in scikit-learn's hands: its own checks, pipelines, searches, copies, and labels that change nothing."""

import inspect
import io
import os
import signal
import unittest
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

import selftaught
from selftaught import SelfTaughtEncoder
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import DataError, UsageError

MLP = {"name": "mlp", "options": {"depth": 1, "width": 8}}
QUICK = {"steps": 2, "precision": "32-true", "layout": "contiguous"}
# Of scikit-learn's checks, those that cannot apply, and why; the first is not even offered to an encoder that says so.
NOT_APPLICABLE = {
    "check_estimators_nan_inf": "NaN is a missing value; that infinity is refused is tested below",
    "check_array_api_input": "arrays are numpy's",
}
# Those that scikit-learn keeps for its own estimators; some need pandas.
MORE = (
    "check_transformer_get_feature_names_out",
    "check_get_feature_names_out_error",
    "check_set_output_transform",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform_pandas",
    "check_dataframe_column_names_consistency",
)


def rows_encoder(**more: Any) -> SelfTaughtEncoder:
    return SelfTaughtEncoder(**{"method": "denoising", "encoder": MLP, **QUICK, **more})


def images_encoder(**more: Any) -> SelfTaughtEncoder:
    quick = {"method": "simclr", "encoder": Small(), "batch_size": 16, **QUICK}
    return SelfTaughtEncoder(**{**quick, **more})


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.more = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.more(self.layers(x)))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    held = load_digits()
    order = np.random.default_rng(0).permutation(len(held.images))
    return held.images[order], held.target[order]


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> SelfTaughtEncoder:
    return images_encoder().fit(digits[0][:64])


@estimator_checks.parametrize_with_checks([rows_encoder()])
def test_scikit_learns_own_checks_pass(estimator: SelfTaughtEncoder, check: Any) -> None:
    if check.func.__name__ in NOT_APPLICABLE:
        pytest.skip(NOT_APPLICABLE[check.func.__name__])
    check(estimator)


def test_a_parameter_is_a_setting_of_pretrain_or_one_of_three_of_its_own() -> None:
    for name, parameter in inspect.signature(SelfTaughtEncoder).parameters.items():
        if name not in ("options", "verbose", "random_state"):
            default = Pretrain.model_fields[name].default
            assert parameter.default in (None, getattr(default, "name", default)), name


@pytest.mark.parametrize("name", MORE)
def test_more_of_its_checks_pass(name: str) -> None:
    try:
        getattr(estimator_checks, name)("SelfTaughtEncoder", rows_encoder())
    except unittest.SkipTest as reason:
        pytest.skip(str(reason))


def test_what_cannot_apply_is_told_to_users() -> None:
    told = (Path(__file__).parents[2] / "docs" / "scikit-learn.md").read_text()
    assert all(f"`{name}`" in told and name in (SelfTaughtEncoder.__doc__ or "") for name in NOT_APPLICABLE)
    offered = [check.func.__name__ for _, check in estimator_checks.estimator_checks_generator(rows_encoder())]
    assert len(set(offered)) > 35 and set(offered) & set(NOT_APPLICABLE) == {"check_array_api_input"}


def test_a_pipeline_on_digits_learns(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    torch.manual_seed(0)
    gentle = {"strong": {"crop": [0.5, 1.0], "flip": 0.0}}
    encoder = images_encoder(batch_size=64, steps=36, views=gentle)
    pipeline = make_pipeline(encoder, LogisticRegression(max_iter=500))
    pipeline.fit(images[:1200], labels[:1200])
    assert pipeline.score(images[1200:], labels[1200:]) > 0.9
    assert pipeline[:-1].get_feature_names_out()[63] == "selftaughtencoder63"


def test_labels_change_nothing(digits: tuple[np.ndarray, np.ndarray], fitted: SelfTaughtEncoder) -> None:
    images, labels = digits[0][:64], digits[1][:64]
    expected = fitted.transform(images)
    assert expected.shape == (64, 64) and expected.dtype == np.float32
    for y in (labels, np.random.default_rng(1).permutation(labels)):
        assert np.array_equal(clone(fitted).fit_transform(images, y), expected)


def test_a_file_and_its_array_give_the_same_and_a_run_folder_is_kept_where_asked(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.round(digits[0][:64] * 255 / 16).astype(np.uint8)
    np.save("x.npy", images)
    network = Small()
    by_array = images_encoder(encoder=network).fit(images)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    by_file = images_encoder(encoder=network, out=tmp_path / "run").fit("x.npy")
    features = by_array.transform(images)
    assert np.array_equal(by_file.transform(Path("x.npy")), features)
    run = selftaught.Run(tmp_path / "run", Small())
    held = np.load(run.embed("x.npy", "f.npz"))
    assert np.array_equal(held["features"], features)
    assert by_file.recipe_ == run.recipe.model_dump(mode="json") and by_file.metrics_ == run.metrics()
    assert by_array.recipe_["out"] is None and by_array.recipe_["data"] == "an array of shape (64, 8, 8)"
    with pytest.raises(ValueError, match="already exists"):
        by_file.fit(images)
    by_file.set_params(overwrite=True, steps=1).fit(images)
    assert selftaught.Run.open(tmp_path / "run").status["steps"] == by_file.status_["steps"] == 1


def test_parameters_are_kept_as_given_and_a_fit_leaves_them_alone(digits: tuple[np.ndarray, np.ndarray]) -> None:
    network, options = Small(), {"limit": 32}
    encoder = images_encoder(encoder=network, options=options)
    assert encoder.get_params()["encoder"] is network and encoder.get_params()["options"] is options
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoder.fit(digits[0][:64])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()) and network.training
    assert encoder.recipe_["limit"] == 32 and encoder.get_params()["encoder"] is network
    again = clone(encoder).set_params(steps=1)
    assert again.steps == 1 and not hasattr(again, "encoder_")


def test_a_search_tries_methods_and_numpys_numbers() -> None:
    rows, labels = load_wine(return_X_y=True)
    pipeline = make_pipeline(rows_encoder(), LogisticRegression(max_iter=200))
    grid = {
        "selftaughtencoder__method": ["denoising", {"name": "denoising", "options": {"level": np.float64(0.1)}}],
        "selftaughtencoder__steps": np.array([3]),
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(rows, labels)
    assert len(search.cv_results_["params"]) == 2 and search.best_estimator_[0].recipe_["steps"] == 3


def test_a_stored_encoder_gives_the_same(digits: tuple[np.ndarray, np.ndarray], fitted: SelfTaughtEncoder) -> None:
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    assert np.array_equal(joblib.load(buffer).transform(digits[0]), fitted.transform(digits[0]))


def test_a_tensor_may_have_gradients() -> None:
    rows = torch.from_numpy(load_wine().data).requires_grad_()
    assert np.array_equal(rows_encoder().fit_transform(rows), rows_encoder().fit_transform(rows.detach().numpy()))


def test_missing_values_are_taken_and_infinite_ones_refused() -> None:
    rows = load_wine().data.copy()
    rows[::7, 3] = np.nan
    assert np.isfinite(rows_encoder().fit_transform(rows)).all()
    rows[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        rows_encoder().fit(rows)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "simclear"}, "no method named 'simclear'; did you mean 'simclr'"),
        ({"epochs": 3}, "give one of --epochs and --steps, not both"),
        ({"batch_size": 1}, "--batch-size cannot be 1"),
        ({"options": [1]}, "options cannot be of type list: they are values by name"),
        ({"options": {"seed": 3}}, "options cannot hold 'seed'"),
        ({"options": {"resume": True}}, "options cannot hold 'resume'"),
        ({"options": {"time_limit": 3}}, "options cannot hold 'time_limit'"),
        ({"options": {"steps": 3}}, "options cannot hold 'steps'"),
        ({"options": {"epocs": 3}}, "did you mean 'epochs'"),
        ({"method": "rotation"}, r"rotation asks about images, and an array of shape \(178, 13\) holds rows"),
        ({"random_state": -1}, "--seed cannot be -1"),
    ],
)
def test_a_wrong_parameter_is_a_value_error_of_one_line(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        rows_encoder(**change).fit(load_wine().data)
    assert isinstance(caught.value, UsageError) and "\n" not in str(caught.value)


def test_what_cannot_be_transformed_is_a_value_error(
    digits: tuple[np.ndarray, np.ndarray], fitted: SelfTaughtEncoder, photos: Path
) -> None:
    images = digits[0][:16]
    with pytest.raises(NotFittedError):
        images_encoder().transform(images)
    with pytest.raises(
        ValueError, match=r"was fitted to images, and an array of shape \(16, 64\) holds rows"
    ) as caught:
        fitted.transform(images.reshape(16, -1))
    assert isinstance(caught.value, DataError)
    with pytest.raises(ValueError, match="not finite"):
        fitted.transform(np.where(images == 0, np.nan, images))
    with pytest.raises(ValueError, match="5 channels, the encoder takes 1"):
        fitted.transform(np.repeat(images[..., None], 5, axis=3))
    with pytest.raises(ValueError, match="images are uint8, uint16 or floating point"):
        fitted.transform(images.astype(np.int64))
    colours = images_encoder(method="rotation", encoder="test_resnet", size=16).fit(photos)
    Image.new("RGB", (16, 16)).save(photos / "blue" / "zzz.png")
    assert colours.transform(photos).shape[0] == 49
    (photos / "red" / "000.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(ValueError, match="1 of 49 images in photos cannot be decoded"):
        colours.transform(photos)


def test_rows_after_images_and_images_after_rows(digits: tuple[np.ndarray, np.ndarray]) -> None:
    encoder = rows_encoder().fit(load_wine().data)
    assert encoder.n_features_in_ == 13
    encoder.set_params(method="simclr", encoder=Small(), batch_size=16).fit(digits[0][:32])
    assert not hasattr(encoder, "n_features_in_") and encoder.transform(digits[0][:3]).shape == (3, 64)


@pytest.mark.parametrize("state", [None, np.random.RandomState(5)])
def test_a_random_state_that_is_no_number_gives_another_seed_each_time(state: Any) -> None:
    encoder = rows_encoder(random_state=state)
    seeds = [encoder.fit(load_wine().data).recipe_["seed"] for _ in range(2)]
    assert seeds[0] != seeds[1] and rows_encoder(random_state=3).fit(load_wine().data).recipe_["seed"] == 3


def test_it_is_quiet_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    rows_encoder().fit_transform(load_wine().data)
    assert capfd.readouterr() == ("", "")
    rows_encoder(verbose=True).fit(load_wine().data)
    assert "training 2 steps" in capfd.readouterr().err


class Constant(Small):
    """Says the same of everything."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 0


class Stopped(Small):
    """As if somebody pressed Ctrl-C while it trains."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGINT)
            self.eval()  # once
        return super().forward(x)


def test_a_network_that_collapses_gives_a_warning(digits: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.warns(ConvergenceWarning, match="collapsing"):
        images_encoder(encoder=Constant()).fit(digits[0][:32])


def test_a_stop_ends_a_search_and_not_only_one_of_its_fits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pipeline = make_pipeline(images_encoder(encoder=Stopped(), steps=4), LogisticRegression())
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT"):
        GridSearchCV(pipeline, {"selftaughtencoder__lr": [0.01, 0.02]}, cv=2).fit(digits[0][:64], digits[1][:64])


def test_a_run_knows_the_table_that_it_was_fitted_to(tmp_path: Path) -> None:
    pa, csv = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.csv")
    held, wine = load_wine().data[:, :4], ("id", "alcohol", "class", "ash")
    table = pa.table(dict(zip(wine, held.T)))  # of which scikit-learn takes names as it does those of pandas
    encoder = rows_encoder(out=tmp_path / "run").fit(table)
    assert encoder.feature_names_in_.tolist() == [*wine] and encoder.n_features_in_ == 4
    assert [column.name for column in encoder.encoder_.preparation.columns] == [*wine]
    features = encoder.transform(table)
    csv.write_csv(table, tmp_path / "wine.csv")
    for number, again in enumerate((table, str(tmp_path / "wine.csv"))):
        file = selftaught.embed(tmp_path / "run", again, tmp_path / f"{number}.npz")
        assert np.allclose(np.load(file)["features"], features, atol=1e-5)
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(encoder.transform(held), features)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(table.rename_columns(["a", "b", "c", "d"]))
    before = rows_encoder().fit(held)
    before.feature_names_in_ = np.array(wine, dtype=object)  # as an encoder of before, which learnt from no names
    assert np.array_equal(before.transform(table), rows_encoder().fit(held).transform(held))
    assert rows_encoder().fit(held).encoder_.preparation.columns[0].name == "column 0"
