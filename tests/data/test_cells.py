"""Cells of text files: what stands between quotation marks, and files in UTF-16, whoever reads them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from selftaught.contracts import modality
from selftaught.data.series.files import open_recordings
from selftaught.data.sources.cells import read_cells
from selftaught.data.sources.labels import labels_for
from selftaught.data.sources.listed import open_list
from selftaught.data.sources.metadata import columns_beside
from selftaught.data.sources.open import open_source
from selftaught.data.tables.columns import open_table
from selftaught.data.text.files import open_texts
from selftaught.judging.label_file import LabelFile
from selftaught.system.errors import DataError
from selftaught.system.reading import yaml_in


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('text\nfirst\n"Hello, he said\nthird\nfourth\n', "line 3: .* takes in what follows, up to line 5: close"),
        ('text\tlabel\na\t1\n"Hello\t0\nb\t1\n"Bye\t1\n', "line 3: .* takes in what follows, up to line 5: close it"),
        ('a,b\n1,"two\nlines","oops\n2,c\n', "line 3: a cell begins with a quotation mark that is not closed where"),
        ('a,b\n1,"two\r\nlines"\r\n2,"cat\r\n', "line 4: a cell begins with a quotation mark that is not closed"),
        ('a,b\n1,"' + "x\n" * 70_000, "line 2: .* has more than 131,072 letters: close it where the cell ends, or"),
    ],
)  # fmt: skip
def test_a_quotation_mark_that_takes_in_lines_is_refused_where_it_stands(
    written: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(written.encode())
    with pytest.raises(DataError, match=said) as error:
        read_cells(tmp_path / "a.csv")
    assert "\n" not in str(error.value)


def test_what_stands_between_marks_is_read_and_what_stays_in_its_line_is_as_ever(tmp_path: Path) -> None:
    held = 'a,b\n1,"two\nlines"\n2,"say ""hi""\r\nthere, now"\n"Yes" he said,5" long\n"Anna" ,"x"\n3,"'
    (tmp_path / "a.csv").write_bytes(held.encode())
    assert read_cells(tmp_path / "a.csv").lines == [
        ["a", "b"], ["1", "two\nlines"], ["2", 'say "hi"\r\nthere, now'],
        ["Yes he said", '5" long'], ["Anna ", "x"], ["3", ""],
    ]  # fmt: skip


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lines.txt": ("héllo there\nsecond line\n", lambda file: open_texts(f"text:{file}").texts),
    "texts.csv": ("text,label\nhéllo there,a\nsecond line,b\n", lambda file: vars(open_texts(f"text:{file}"))),
    "lines.jsonl": ('{"text": "héllo there"}\n{"text": "b c"}\n', lambda file: open_texts(str(file)).texts),
    "rows.csv": ("höhe,label\n1,a\n2,b\n", lambda file: open_table(file).written),
    "long.csv": ("series,time,ö\na,0,5\na,1,6\n", lambda file: open_recordings(str(file)).channels),
    "one.ts": ("@classLabel true ä b\n@data\n1,2,3:ä\n3,4,5:b\n", lambda file: open_recordings(str(file)).labels),
    "labels.csv": ("path,label\na.png,kätzchen\n", lambda file: labels_for(file, ["a.png"], "images")),
    "list.csv": ("path,label\na.png,kätzchen\n", lambda file: (open_list(file).keys, open_list(file).labels)),
    "recipe.yaml": ("method: simclr\nname: ö\n", lambda file: yaml_in(file, named=True)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_that_in_utf_8(name: str, coding: str, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    written, read = READERS[name]
    file = tmp_path / name
    file.write_text(written, encoding="utf-8")
    kind, held = modality.of(str(file)).THINGS, read(file)
    file.write_bytes(("\ufeff" * (coding != "utf-16") + written).encode(coding))
    again = read(file)
    assert kind == modality.of(str(file)).THINGS
    for one in (held, again):
        if isinstance(one, dict):
            one.pop("extra", None)
    assert again == held


def test_metadata_in_utf_16_is_read_and_answers_are_added_to_none(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "about.csv").write_text("path,ort\na.png,Köln\n", encoding="utf-16")
    source = open_source(str(tmp_path))
    assert columns_beside(source, str(tmp_path / "about.csv"), "images")["ort"]() == ["Köln"]
    (tmp_path / "labels.csv").write_text("path,label\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"labels\.csv is text in UTF-16, to which answers cannot be added: save it as"):
        LabelFile(tmp_path / "labels.csv")


def test_bytes_that_are_no_utf_16_are_said_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first one")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfea\x00b")
    assert open_texts(f"text:{tmp_path}").broken == [("b.txt", "is no text in UTF-16: byte 0x62 at 4")]
    (tmp_path / "rows.csv").write_bytes(b"\xff\xfea\x00b")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read as text: 'utf-16-le' codec can't decode"):
        open_table(tmp_path / "rows.csv")
