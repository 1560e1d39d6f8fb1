"""A probe is a file in `judging/probes/`: its name is known without it, and what it is stands in it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import selftaught
import selftaught.judging.probes
from selftaught.judging import probe
from selftaught.run.recipes import Compare, Evaluate
from selftaught.system.errors import DataError, UsageError
from tests.judging.test_evaluate import run, stripes  # noqa: F401

MOST_COMMON = """
import numpy as np
from selftaught.judging.probe import Probe

def _predict(features, exam):
    part = exam.data.part(exam.split.test)
    assert np.abs(features[part].mean(axis=0)).max() < 1e-3  # they were standardised for it, where it learns
    return np.full(len(exam.split.test), np.bincount(exam.data.classes[exam.split.train]).argmax())

PROBE = Probe(predict=_predict, takes="standardised", priority=9, work="counting")
"""


@pytest.fixture
def most_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A probe of one file."""
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "most_common.py").write_text(MOST_COMMON)
    folders = [*selftaught.judging.probes.__path__, str(tmp_path / "probes")]
    monkeypatch.setattr(selftaught.judging.probes, "__path__", folders)
    yield
    sys.modules.pop("selftaught.judging.probes.most_common", None)


def test_probes_are_the_files_of_a_folder_in_the_order_of_their_verdicts() -> None:
    assert set(probe.names()) == {"attentive", "finetune", "knn", "layers", "linear", "segment"}
    assert probe.of_features() == ["attentive", "knn", "layers", "linear"]
    by_priority = sorted(probe.names(), key=lambda name: -probe.named(name).priority)
    assert by_priority == ["linear", "attentive", "finetune", "layers", "segment", "knn"]
    with pytest.raises(UsageError, match="no probe named 'lineal'; did you mean 'linear'"):
        probe.named("lineal")


def test_names_are_known_without_a_probe_and_without_torch() -> None:
    code = "import sys; from selftaught.judging import probe; assert probe.names(); assert 'torch' not in sys.modules; "
    code += "assert not any(name.startswith('selftaught.judging.probes.') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_file_is_enough_for_a_probe(most_common: None, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """It judges, its verdict is the verdict, as its priority says, and a slip of its name is seen."""
    result = run.evaluate(stripes(tmp_path / "a.npz", 40, 1), probe="knn,most_common", repeats=1)
    rows = [row for row in result.rows if row.probe == "most_common"]
    assert {row.features for row in rows} == {"trained", "untrained", "pixels"}
    assert all(row.accuracy == pytest.approx(0.5) for row in rows) and result.verdict.startswith("most_common")
    with pytest.raises(UsageError, match="did you mean 'most_common'"):
        run.evaluate(tmp_path / "a.npz", probe="most_comon")


def test_all_probes_and_all_features_see_the_same_splits(
    run,  # type: ignore[no-untyped-def]  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing is left to draw, once suffices, unless chance has a part in what a probe says."""
    seen: dict[tuple[str, str], list[tuple[int, bytes, bytes]]] = {}
    for name in ("knn", "linear", "finetune"):

        def predict(source: object, exam: probe.Exam, name: str = name) -> np.ndarray:
            split = exam.split
            seen.setdefault((name, exam.kind), []).append((split.repeat, split.train.tobytes(), split.test.tobytes()))
            return exam.data.classes[split.test]

        facts = {
            key: getattr(probe.named(name), key) for key in ("takes", "priority", "work", "by_chance", "untrained")
        }
        module = sys.modules[f"selftaught.judging.probes.{name}"]
        monkeypatch.setattr(module, "PROBE", probe.Probe(predict=predict, **facts))
    train, test = stripes(tmp_path / "a.npz", 40, 1), stripes(tmp_path / "b.npz", 20, 2)
    run.evaluate(train, probe="knn,linear,finetune", labels="3", repeats=2)
    first, *others = seen.values()
    assert len(seen) == 8 and len(first) == 10 and all(other == first for other in others)
    seen.clear()
    run.evaluate(train, test, probe="knn,linear,finetune", labels="100%", repeats=2)
    assert {name: len(splits) for (name, _), splits in seen.items()} == {"knn": 1, "linear": 1, "finetune": 2}


def test_the_help_names_the_probes(capsys: pytest.CaptureFixture[str]) -> None:
    from selftaught.commands.cli import run_command

    assert "PROBES" in str(Evaluate.model_fields["probe"].description)
    assert run_command(["evaluate", "--help"]) == 0
    assert "attentive,finetune,knn,layers,linear" in " ".join(capsys.readouterr().out.split())
    assert "PROBES" in str(Compare.model_fields["probe"].description)
    assert run_command(["compare", "--help-all"]) == 0
    assert "whose accuracy ranks: one of attentive,knn,layers,linear [default: linear]" in " ".join(
        capsys.readouterr().out.split()
    )


def test_one_file_is_enough_to_rank_by(most_common: None, tmp_path: Path) -> None:
    """Whatever judges features can; what trains networks cannot, nor what is no probe."""
    nowhere = str(tmp_path / "nowhere")
    wanted = {"data": nowhere, "train": nowhere, "methods": "rotation", "out": str(tmp_path / "out")}
    with pytest.raises(DataError, match="nowhere"):  # which is asked for once the probe is known
        selftaught.compare(**wanted, probe="most_common")
    for name, said in {
        "lineal": "did you mean 'linear'",
        "finetune": "there are attentive, knn, layers, linear, most_common",
    }.items():
        with pytest.raises(UsageError, match=f"--probe cannot be '{name}': .*{said}"):
            selftaught.compare(**wanted, probe=name)
