"""Cells of tables as people write them: what parts them, what is a number, what is nothing, what is a name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import selftaught
from selftaught.data.sources import numbers
from selftaught.data.sources.cells import parting_of
from selftaught.data.sources.numbers import column_of, number_in
from selftaught.data.tables import columns
from selftaught.data.tables.columns import open_table
from selftaught.data.tables.inspection import inspect
from selftaught.data.tables.preparation import Column, Preparation
from selftaught.data.tables.samples import open_samples
from selftaught.system.errors import DataError, UsageError

MARKERS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "<NA>", "null", "None", "-", ".")


def saved(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b;c\n1,5;2,5;x\n", ";"),
        ("1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\n1,5\tx;y\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('name,what\na,"one; two"\nb,"three; four"\n', ","),
        ("text\none; two\nthree; four\n", ","),
        ("a,b\n1,2\n3\n", ","),
        ("a;b\n1;2\n3\n", ";"),
        ("label\nx\n", ","),
        ("", ","),
    ],
)
def test_what_parts_cells_is_found_out(text: str, mark: str) -> None:
    assert parting_of(text) == mark


def test_a_long_file_is_judged_by_whole_lines() -> None:
    assert parting_of("a;b\n" + f"{'x' * 50_000};{'y' * 50_000}\n" * 4) == ";"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_one_table_is_the_same_however_its_cells_are_parted(mark: str, tmp_path: Path) -> None:
    point = "," if mark == ";" else "."
    lines = ["age|income|label", f"20|1{point}5|yes", f"30|-2{point}25|no", "40||no"]
    table = open_table(saved(tmp_path / "t.csv", "\n".join(lines).replace("|", mark) + "\n"))
    assert table.columns["age"].tolist() == [20, 30, 40] and table.labels == ["yes", "no", "no"]
    assert table.columns["income"].tolist()[:2] == [1.5, -2.25] and np.isnan(table.columns["income"][2])
    said = " ".join(table.notes)
    assert ("parted by" in said) == (mark != ",") and ("with commas" in said) == (mark == ";")


@pytest.mark.parametrize(
    ("cell", "commas", "number"),
    [
        ("1.5", False, 1.5),
        ("-1.5e3", False, -1500),
        ("1,234", False, 1234),
        ("1,234,567.8", False, 1234567.8),
        ("1 234", False, 1234),
        ("1\u202f234,5", True, 1234.5),
        ("1'234.5", False, 1234.5),
        ("$3", False, 3),
        ("-$3.50", False, -3.5),
        ("3 %", False, 3),
        ("12€", False, 12),
        ("<0.5", False, 0.5),
        (">= 100", False, 100),
        ("−2", False, -2),
        ("1,5", True, 1.5),
        ("1.234,5", True, 1234.5),
        (",5", True, 0.5),
        ("1,5", False, None),
        ("1,23,4", False, None),
        ("1.5", True, None),
        ("2024-01-31", False, None),
        ("10:30", False, None),
        ("3 kg", False, None),
        ("V57", False, None),
        ("1_11", False, None),
        ("", False, None),
        ("%", False, None),
    ],
)
def test_numbers_as_people_write_them(cell: str, commas: bool, number: float | None) -> None:
    assert number_in(cell, commas) == number


def test_names_with_underscores_are_text() -> None:
    assert column_of(["1_11", "11_1", "2_5"]).values.tolist() == ["1_11", "11_1", "2_5"]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_of_what_is_missing_makes_no_category_and_no_class(marker: str, tmp_path: Path) -> None:
    cells = zip(np.arange(400) / 7, ["red"] * 400, "ab" * 200, strict=True)
    rows = [
        [marker if not row % every else cell for every, cell in zip((50, 3, 40), own)] for row, own in enumerate(cells)
    ]
    table = open_table(
        saved(tmp_path / "t.csv", "a,c,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    )
    kinds = {column.name: (column.kind, column.values) for column in Preparation.of(table).columns}
    assert kinds == {"a": ("number", ()), "c": ("category", ("red",))}
    assert np.isnan(table.columns["a"]).sum() == 8 and table.columns["a"][1] == 1 / 7
    assert table.labels is not None and set(table.labels) == {"", "a", "b"} and table.labels.count("") == 10
    assert any("10 labels in label are" in note for note in table.notes) == bool(marker)


def test_a_minus_beside_a_plus_is_a_sign_and_none_in_small_letters_a_class(tmp_path: Path) -> None:
    rows = [f"{i},{'+-'[i % 2]},{'+-'[i % 2]}" for i in range(10)]
    table = open_table(saved(tmp_path / "t.csv", "a,sign,label\n" + "\n".join(rows) + "\n"))
    assert set(table.labels or []) == {"+", "-"} and set(table.columns["sign"]) == {"+", "-"}
    table = open_table(saved(tmp_path / "u.csv", "a,label\n1,none\n2,crack\n3,Na\n"))
    assert table.labels == ["none", "crack", "Na"] and not any("no label" in note for note in table.notes)


def test_a_few_cells_that_are_no_numbers_are_said_and_many_make_text() -> None:
    few = column_of([*map(str, range(97)), "broken", "$3", "<0.5"])
    assert few.values.dtype.kind == "f" and np.isnan(few.values[97]) and few.values[98:].tolist() == [3, 0.5]
    assert "read by their numbers alone: 2 cells such as '$3', '<0.5'" in few.said
    assert "no numbers, and so taken for missing: 1 cell such as 'broken'" in few.said
    many = column_of([*map(str, range(8)), "K", "V"])
    assert many.values.dtype.kind == "U"
    assert "text, as only 80% of its cells are numbers: not 2 cells such as 'K'" in many.said
    assert column_of(["red", "1", "blue"]).said == ""


def test_commas_are_decimal_or_of_thousands_by_all_of_a_column() -> None:
    assert column_of(["1,234", "5,678"]).values.tolist() == [1234, 5678]
    assert column_of(["1,234", "5,6"]).values.tolist() == [1.234, 5.6]
    assert column_of(["1,234", "5,678"], ";").values.tolist() == [1.234, 5.678]
    assert column_of(["1.234,5", "1.234"], ";").values.tolist() == [1234.5, 1234]


@pytest.mark.parametrize(
    ("mark", "cells", "labels", "said"),
    [
        (";", ["0,126", "2,5", "3", ""], ["0.126", "2.5", "3", ""], "numbers whose decimals are written with commas"),
        (";", ["1.234,5", "7", "NA"], ["1234.5", "7", ""], "numbers whose decimals are written with commas"),
        ("\t", ["$1,172.79", "$950"], ["1172.79", "950"], "read by their numbers alone: 2 cells such as '$1,172.79'"),
        ("|", ["1,172", "12"], ["1172", "12"], "read by their numbers alone: 1 cell such as '1,172'"),
        (",", ["2.5 %", "5 %"], ["2.5", "5"], "read by their numbers alone: 2 cells such as '2.5 %'"),
    ],
)
def test_labels_that_are_numbers_are_read_as_columns_of_features_are(
    mark: str, cells: list[str], labels: list[str], said: str, tmp_path: Path
) -> None:
    rows = "".join(f"{i}{mark}{cell}\n" for i, cell in enumerate(cells))
    table = open_table(saved(tmp_path / "t.csv", f"a{mark}label\n{rows}"))
    assert table.labels == labels and any(f"labels in label are {said}" in note for note in table.notes)


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "10", "07"],
        ["1.50", "2.5"],
        ["50%", "100%"],
        ["$5", "+1"],
        ["<0.5", ">0.5"],
        ["1,5", "none"],
        ["1,5", "inf"],
        ["2,5", "?"],
        ["1,5;2,5", "3,5"],
        ["1_1", "1.5"],
        ["v1.5", "v2.5"],
    ],
)
def test_labels_that_may_be_names_stay_as_they_are(cells: list[str], tmp_path: Path) -> None:
    rows = "".join(f"{i}\t{cell}\n" for i, cell in enumerate(cells))
    table = open_table(saved(tmp_path / "t.tsv", f"a\tlabel\n{rows}"))
    assert table.labels == cells and not any("labels in" in note for note in table.notes)


def test_what_check_says_of_such_cells(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'n.d.' if i == 7 else i}\n" for i in range(100))
    found = inspect(saved(tmp_path / "t.csv", "a,b\n" + rows))
    assert found.columns and [column.kind for column in found.columns] == ["number", "number"]
    assert any("column 'b': no numbers, and so taken for missing: 1 cell such" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("5.1,3.5,1.4\n4.9,3.0,1.3\n", ["column 0", "column 1", "column 2"], 2),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n6,3,other\n", ["column 0", "column 1", "column 2"], 3),
        ("5,,7\n4,3,2\n", ["column 0", "column 1", "column 2"], 2),
        ("0,1,2\n5.1,3.5,1.4\n", ["0", "1", "2"], 1),
        (",0,1,2\n0,5.1,3.5,1.4\n1,4,3,2\n", ["0", "1", "2"], 2),
        (
            "400,410,420,430,440,450,460,470,kind\n" + "3,1,2,3,1,2,3,1,x\n" * 2,
            [*map(str, range(400, 480, 10)), "kind"],
            2,
        ),
        ("2019,2020,kind\n1,2,x\n3,4,x\n", ["2019", "2020", "kind"], 2),
        ("a,b\n1,2\n", ["a", "b"], 1),
    ],
)
def test_a_first_line_that_is_a_row_is_not_lost(text: str, columns: list[str], rows: int, tmp_path: Path) -> None:
    table = open_table(saved(tmp_path / "t.csv", text))
    assert list(table.columns) == columns and len(table) == rows
    assert any("first line is a row" in note for note in table.notes) == (columns[0] == "column 0")


def test_an_encoder_that_took_a_marker_for_a_category_still_does(tmp_path: Path) -> None:
    like = Preparation.model_validate(
        {"columns": [{"name": "a", "kind": "category", "values": ["-", "1.5"]}, {"name": "b", "kind": "number"}]}
    )
    table = open_table(saved(tmp_path / "t.csv", "a,b\n-,1\n1.5,2\n2,3\n"), None, like.taken)
    assert like.encoded(table)[:, :, 0].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_codes_are_read_as_an_encoder_has_learnt_them(tmp_path: Path) -> None:
    """Earlier versions took 1_2 for 12, as Python does: who has learnt from the number goes on with it."""
    codes = saved(tmp_path / "codes.csv", "a,code\n1,1_2\n2,2_2\n3,\n")
    assert open_table(codes).columns["code"].tolist() == ["1_2", "2_2", "nan"]
    known = tuple(Column(name=name, kind="number") for name in ("a", "code"))
    samples = open_samples(codes, like=Preparation(columns=known))
    assert samples.values[:, 0, 1].tolist() == [12, 22, 0]
    assert samples.notes == ["column 'code': cells such as 1_2 are read as 12, as the encoder has learnt them"]
    plain = open_samples(saved(tmp_path / "plain.csv", "a,code\n1,12\n2,22\n3,\n"))
    assert samples.fingerprint == plain.fingerprint != open_samples(codes).fingerprint
    for other in ("x_2", "1__2"):
        text = saved(tmp_path / "text.csv", f"a,code\n1,{other}\n")
        with pytest.raises(DataError, match="column 'code' holds text where numbers were"):
            open_samples(text, like=Preparation(columns=known))


def test_a_column_of_numbers_is_one_in_a_file_of_few_rows(tmp_path: Path) -> None:
    """What a column is was told by all rows to learn from; a few others hold more words among their numbers."""
    rows = "".join(f"{n},{'unknown' if n == 7 else n % 9},{n}\n" for n in range(100))
    like = open_samples(saved(tmp_path / "all.csv", "b,age,c\n" + rows)).preparation
    assert like.columns[1].kind == "number" and like.columns[1].missing == ("unknown",)
    few = open_samples(saved(tmp_path / "few.csv", "b,age,c\n1,unknown,2\n2,8,3\n3,who knows,4\n"), like=like)
    mean, std = like.columns[1].mean, like.columns[1].std
    assert few.values[:, 0, 1].tolist() == pytest.approx([0, (8 - mean) / std, 0])
    told = "column 'age': no numbers, and so taken for missing: 2 cells such as 'unknown', 'who knows'"
    assert few.notes == [told]
    one = open_samples(saved(tmp_path / "one.csv", "b,age,c\n1,unknown,2\n"), like=like)
    assert one.values[0, 0, 1] == 0 and one.values[0, 0, 0] != 0
    semicolons = saved(tmp_path / "s.csv", "b;age;c\n1;unknown;2\n2;1,125;3\n")
    assert open_samples(semicolons, like=like).values[1, 0, 1] == pytest.approx((1.125 - mean) / std)
    other = saved(tmp_path / "other.csv", "b,age,c\n1,unknown,2\n1,tall,2\n")
    with pytest.raises(DataError, match=r"other.csv: column 'age' holds text where numbers were: 2 cells such as 'un"):
        open_samples(other, like=like)


def test_an_encoder_that_met_no_such_cells_is_written_as_before() -> None:
    column = Column(name="a", kind="number")
    assert list(column.model_dump()) == ["name", "kind", "mean", "std", "values"]
    assert Column(name="a", kind="number", missing=("n.d.",)).model_dump(mode="json")["missing"] == ["n.d."]


def test_a_run_that_took_codes_for_numbers_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = saved(tmp_path / "codes.csv", "a,code\n" + "".join(f"{n},{n % 3}_{n % 2}\n" for n in range(16)))
    how: dict[str, Any] = {"method": "denoising", "steps": 2, "batch_size": 8, "map": 0, "out": tmp_path / "run"}
    with monkeypatch.context() as patch:
        patch.setattr(columns, "column_of", lambda cells, parting: numbers.Column(np.array(cells, dtype=np.float64)))
        begun = selftaught.pretrain(codes, **how)
    again = selftaught.pretrain(codes, resume=True, **how)
    assert again.status["state"] == "done" and again.recipe.fingerprint == begun.recipe.fingerprint
    with pytest.raises(UsageError, match=r"cannot resume: .* 1 of 16 rows hold something else"):
        saved(codes, codes.read_text().replace("15,0_1", "15,0_2"))
        selftaught.pretrain(codes, resume=True, **how)
    with pytest.raises(UsageError, match=r"cannot resume: .* 16 of 16 rows hold something else"):  # and one column less
        saved(codes, "a\n" + "".join(f"{n}\n" for n in range(16)))
        selftaught.pretrain(codes, resume=True, **how)


def test_a_run_that_learnt_from_a_second_name_of_rows_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = saved(
        tmp_path / "rows.csv", "id,key,b\n" + "".join(f"{n},{'xy'[n % 2]},{'pqr'[n % 3]}\n" for n in range(16))
    )
    how: dict[str, Any] = {"method": "denoising", "steps": 2, "batch_size": 8, "map": 0, "out": tmp_path / "run"}
    with monkeypatch.context() as patch:
        patch.setattr(columns, "IDS", ("id",))
        begun = selftaught.pretrain(rows, **how)
    again = selftaught.pretrain(rows, resume=True, **how)
    assert again.status["state"] == "done" and again.recipe.fingerprint == begun.recipe.fingerprint
    assert [column.name for column in again.encoder().preparation.columns] == ["key", "b"]
    with pytest.raises(UsageError, match="cannot resume"):
        saved(rows, rows.read_text().replace("15,y", "15,x"))
        selftaught.pretrain(rows, resume=True, **how)
