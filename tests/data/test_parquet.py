"""Pictures in parquet, as Hugging Face's datasets writes them, beside tables, which have none."""

import builtins
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import selftaught
from selftaught.contracts import modality
from selftaught.data.images.samples import open_samples
from selftaught.data.sources import parquet as source_of
from selftaught.data.sources.files import Files
from selftaught.data.sources.open import open_source
from selftaught.data.tables.columns import open_table
from selftaught.system.errors import DataError, UsageError

COUNT = 24
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def jpegs(count: int = COUNT) -> list[bytes]:
    made = []
    for number in range(count):
        buffer = io.BytesIO()
        colour = (200, 20, 10 * number % 256) if number % 2 else (20, 200, 10 * number % 256)
        Image.new("RGB", (16, 16), colour).save(buffer, "JPEG", quality=95)
        made.append(buffer.getvalue())
    return made


def written(file: Path, columns: dict[str, Any], features: Any = None, group: int = 5) -> Path:
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, file, row_group_size=group)
    return file


def structs(paths: list[str | None] | None = None) -> pa.Array:
    paths = paths or [f"{number:02d}.jpg" for number in range(COUNT)]
    return pa.array([{"bytes": data, "path": path} for data, path in zip(jpegs(), paths)], STRUCT)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    labels = [number % 2 if number else -1 for number in range(COUNT)]
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    return written(tmp_path / "pets.parquet", {"image": structs(), "label": labels}, features)


def test_a_column_of_encoded_images_is_a_source_of_images(pets: Path) -> None:
    assert modality.of(str(pets)).THINGS == "images"
    source = open_source(pets)
    assert isinstance(source, Files) and source.name == "pets" and source.keys[:2] == ["00.jpg", "01.jpg"]
    assert [source.read(row) for row in (23, 0, 7)] == [jpegs()[row] for row in (23, 0, 7)]
    assert source.labels and source.labels[:4] == ["", "dog", "cat", "dog"]  # -1 is of no class
    images = open_samples(pets, labelled=True)
    assert images.count == COUNT - 1 and images.batch(np.arange(2))[0].shape == (2, 3, 16, 16)
    assert images.batch(np.arange(1))[0][0, :, 8, 8].tolist() == pytest.approx([200, 20, 10], abs=4)


def test_bytes_without_a_path_are_known_by_their_row(tmp_path: Path) -> None:
    for name, column in {
        "bare": pa.array(jpegs(), pa.large_binary()),
        "twice": structs(["same.jpg"] * COUNT),
        "some": structs([None, *["a.jpg"] * (COUNT - 1)]),
    }.items():
        source = open_source(written(tmp_path / f"{name}.parquet", {"photo": column, "age": list(range(COUNT))}))
        assert isinstance(source, Files) and list(source.keys) == [str(row) for row in range(COUNT)]
        assert source.read(11) == jpegs()[11] and source.labels is None


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (["a", "b"] * 12, ["a", "b"]),
        ([3, 7] * 12, ["3", "7"]),
        (pa.array(["a", "b"] * 12).dictionary_encode(), ["a", "b"]),
        ([0.5, 1.5] * 12, None),
        ([[1], [2]] * 12, None),
    ],
)
def test_labels_are_numbers_or_text(column: Any, labels: list[str] | None, tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "a.parquet", {"image": structs(), "label": column}))
    assert source.labels == (None if labels is None else labels * 12)


def test_numbers_of_several_files_are_read_together(tmp_path: Path) -> None:
    half, labels = [f"{number:02d}.jpg" for number in range(COUNT)], ["1,234"] * COUNT
    written(tmp_path / "p-0.parquet", {"image": structs(half), "label": labels})
    written(tmp_path / "p-1.parquet", {"image": structs(half), "label": ["1,5", *labels[1:]]})
    assert open_source(str(tmp_path / "p-0.parquet")).labels == ["1234"] * COUNT
    assert {*(open_source(str(tmp_path / "p-{0..1}.parquet")).labels or [])} == {"1.234", "1.5"}


@pytest.mark.parametrize(
    ("cells", "features", "labels"),
    [
        ([["a", "b"], []], None, ["a;b", ";"]),
        (
            [[1, 0], None],
            {"_type": "List", "feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}},
            ["dog;cat", ""],
        ),
        ([{"a": 1}, {"a": 2}], None, ["{'a': 1}", "{'a': 2}"]),
    ],
)
def test_several_labels_of_a_sample_are_a_list(cells: Any, features: Any, labels: list[str], tmp_path: Path) -> None:
    columns = {"image": structs(), "tags": cells * 12}
    file = written(tmp_path / "a.parquet", columns, features and {"tags": features})
    assert open_source(file, label_column="tags").labels == labels * 12


def test_of_two_columns_named_label_neither_counts(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([structs(), pa.array([1] * COUNT), pa.array([2] * COUNT)], ["image", "label", "label"])
    parquet.write_table(table, tmp_path / "a.parquet")
    assert open_source(tmp_path / "a.parquet").labels is None


def test_a_table_stays_a_table(tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.parquet", {"x": np.arange(6.0), "label": list("ababab")})
    nested = written(tmp_path / "nested.parquet", {"x": [{"a": 1}] * 6})
    assert modality.of(str(rows)).THINGS == modality.of(str(nested)).THINGS == "rows"
    assert modality.of(str(tmp_path / "absent.parquet")).THINGS == "rows"
    with pytest.raises(DataError, match="one column of bytes; such columns are: none"):
        open_source(rows)
    two = written(tmp_path / "two.parquet", {"image": structs(), "mask": structs()})
    assert modality.of(str(two)).THINGS == "images"
    with pytest.raises(DataError, match="such columns are: image, mask"):
        open_source(two)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        modality.of(str(tmp_path / "broken.parquet")).open_samples(str(tmp_path / "broken.parquet"))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_column_of_bytes_that_are_no_images_is_one_of_a_table(kind: pa.DataType, tmp_path: Path) -> None:
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(COUNT)]
    digests[2], digests[3] = b"BM" + digests[2], b"P6" + digests[3]  # they begin as some images do
    x = list(np.arange(float(COUNT)))
    hashed = {"x": x, "sha": pa.array([None, *digests[1:]], kind), "none": pa.array([None] * COUNT, kind)}
    rows = written(tmp_path / "rows.parquet", hashed)
    assert modality.of(str(rows)).THINGS == "rows" and open_table(rows).columns["x"].tolist() == x
    photos = pa.array([None, b"broken", *jpegs()[2:]], kind)
    images = written(tmp_path / "images.parquet", {**hashed, "photo": photos}, group=2)
    assert modality.of(str(images)).THINGS == "images"
    source = open_source(images)
    assert isinstance(source, Files) and source.read(5) == jpegs()[5] and source.read(1) == b"broken"


def test_row_groups_are_read_one_by_one_and_not_all_kept(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, read = [], parquet.ParquetFile.read_row_group

    def counting(file: Any, group: int, **how: Any) -> Any:
        groups.append(group)
        return read(file, group, **how)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counting)
    monkeypatch.setattr(source_of, "HELD", 2)
    source = open_source(pets)
    assert isinstance(source, Files)
    for row in range(COUNT):
        source.read(row)
    assert groups == [0, 1, 2, 3, 4]
    for row in (23, 15, 0, 23, 15):  # of groups 4, 3, 0, 4, 3, of which two are held
        source.read(row)
    assert groups == [0, 1, 2, 3, 4, 0, 4, 3]


def test_what_has_no_bytes_is_quarantined(tmp_path: Path) -> None:
    cells = [{"bytes": data, "path": None} for data in jpegs()]
    cells[3]["bytes"], cells[4], cells[5]["bytes"] = None, None, b"no picture"  # type: ignore[call-overload]
    images = open_samples(written(tmp_path / "a.parquet", {"image": pa.array(cells, STRUCT)}), tolerance=0.5)
    assert [key for key, _ in images.quarantined] == ["3", "4", "5"] and images.count == COUNT - 3
    assert "no bytes, perhaps only a path" in images.quarantined[0][1]


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one = open_source(written(tmp_path / "a.parquet", {"image": structs()}))
    same = open_source(written(tmp_path / "b.parquet", {"image": structs()}))
    assert one.fingerprint() == same.fingerprint()
    cells = [{"bytes": data + b"x" * 99, "path": f"{row:02d}.jpg"} for row, data in enumerate(jpegs())]
    assert open_source(written(tmp_path / "c.parquet", {"image": pa.array(cells, STRUCT)})).fingerprint() != (
        one.fingerprint()
    )


def test_from_parquet_to_a_verdict(pets: Path, tmp_path: Path) -> None:
    findings = selftaught.check(pets, encoder="test_resnet", size=16)
    assert findings.things == "images" and findings.images and findings.images.formats == {"JPEG": COUNT}
    chosen = {"encoder": "test_resnet", "steps": 2, "batch_size": 8, "precision": "32-true", "layout": "contiguous"}
    run = selftaught.pretrain(pets, method="simclr", out=tmp_path / "run", **chosen)
    found = run.evaluate(pets, probe="knn", labels="100%", repeats=1)
    assert found.classes == ["cat", "dog"] and found.things == "images"


def test_without_pyarrow_the_extra_is_named(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *given: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *given)

    monkeypatch.setattr(builtins, "__import__", missing)
    for opened in (open_source, modality.of(str(pets)).open_samples):
        with pytest.raises(UsageError, match=r"parquet needs pyarrow: pip install 'selftaught\[parquet\]'"):
            opened(str(pets))
