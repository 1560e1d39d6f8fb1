"""Inspecting tables: kinds, missing cells and copies of rows."""

from pathlib import Path

from selftaught.data.tables.inspection import inspect

ROWS = "id,size,colour,constant,name,label\n" + "".join(
    f"{i},{'' if i == 2 else i % 4},{'red' if i % 2 else ''},7,n{i},{'ab'[i % 2]}\n" for i in range(8)
)


def test_columns_missing_cells_labels_and_notes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    found = inspect(tmp_path / "t.csv")
    assert found.usable and found.things == "rows" and found.count == 8 and found.labels == {"a": 4, "b": 4}
    assert found.columns
    told = {c.name: (c.kind, c.missing, c.distinct, c.min, c.max) for c in found.columns}
    assert told["size"] == ("number", 1, 4, 0, 3) and told["colour"] == ("category", 4, 1, None, None)
    assert told["constant"] == ("number", 0, 1, 7, 7) and "label" not in told and "id" not in told
    assert any("2 columns hold one value only" in note for note in found.notes)
    assert any("column 'name' differs in nearly every row" in note for note in found.notes)


def test_copies_of_rows_and_tables_without_content(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x,z\na,1,2\nb,1,3\nc,1,2\n")
    assert inspect(tmp_path / "t.csv").duplicates == [["a", "c"]]
    (tmp_path / "t.csv").write_text("x\n1\n1\n")
    found = inspect(tmp_path / "t.csv")
    assert not found.usable and "nothing to learn" in found.problems[0]
    (tmp_path / "t.csv").write_text("x\n1\n")
    assert "1 row is too few" in inspect(tmp_path / "t.csv").problems[0]
