"""Texts from every kind of file: what is told apart, put aside, cut and refused."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from selftaught.contracts import modality
from selftaught.contracts.encoder import BEGIN, PADDING, WORDS
from selftaught.data.text.files import labels_by_key, open_texts, recognises
from selftaught.data.text.inspection import inspect
from selftaught.data.text.samples import open_samples
from selftaught.system.errors import BrokenData, DataError, UsageError
from tests.data.text.writing import lines, sentences

FILES = {"cat/1.txt": b"a cat", "cat/2.txt": "e\u0301t\u00e9".encode("utf-16"), "ship/3.txt": b"\xef\xbb\xbfa ship"}
BROKEN = {"ship/4.txt": b"na\xefve", "ship/5.txt": b" \n\t"}
CSV = 'id,review,stars,label\nx,"good, very good",5,yes\ny,"bad; really bad",1,no\nz,as it goes on,3,\n'


def wrote(name: str, content: str | bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def test_what_was_images_or_rows_stays_so_and_texts_are_said_or_told(here: Path) -> None:
    table, listed = wrote("a.csv", CSV), str(lines(here).name)
    told = [modality.of(name).THINGS for name in (table, f"text:{table}", ".", "text:.", listed)]
    assert told == ["rows", "texts", "images", "texts", "texts"]
    assert modality.place_of("text:a.csv") == "a.csv" and not recognises("nowhere.jsonl")
    assert not recognises(np.zeros((2, 2)))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_a_folder_or_an_archive_has_a_text_a_file_and_folders_are_labels(here: Path, kind: str) -> None:
    files = {**FILES, **BROKEN, "ship/note.md": b"a note"}
    if kind == "folder":
        for name, content in files.items():
            wrote(f"some/{name}", content)
    elif kind == "zip":
        with zipfile.ZipFile("some.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open("some.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    found = open_texts("text:some" if kind == "folder" else f"text:some.{kind}")
    assert found.keys == [*FILES] and found.labels == ["cat", "cat", "ship"]
    assert found.texts == ["a cat", "e\u0301t\u00e9", "a ship"]
    assert found.broken == [("ship/4.txt", "is no text in UTF-8: byte 0xef at 2"), ("ship/5.txt", "is empty")]
    assert found.ignored == [("ship/note.md", "not named like a text")]
    if kind == "zip":
        wrote("beside/0.txt", b"a stray")
        for name, content in FILES.items():
            wrote(f"beside/{name}", content)
        assert "1 of 4 files lies in no folder (0.txt), so folders are no labels" in inspect("text:beside").notes
        inside = open_texts("text:some.zip/cat")
        assert inside.keys == ["1.txt", "2.txt"] and inside.labels is None and inside.name == "some-cat"


def test_a_column_of_a_table_is_named_or_plain_and_is_said(here: Path) -> None:
    found = open_texts(f"text:{wrote('a.csv', CSV)}")
    assert found.texts[:2] == ["good, very good", "bad; really bad"] and found.keys == ["x", "y", "z"]
    assert found.labels == ["yes", "no", ""] and list(found.beside()) == ["stars"]
    assert found.beside()["stars"]() == ["5", "1", "3"] and "column 'review' of a.csv" in found.notes[0]
    wordy = open_texts("text:" + wrote("b.csv", "said,who\nit is so,me\nno it is not,you\n"), "who")
    assert wordy.column == "said" and wordy.labels == ["me", "you"]
    by_hand = open_texts("text:a.csv", column="stars")
    assert by_hand.texts == ["5", "1", "3"] and not by_hand.notes
    assert open_texts("text:a.csv", taken="stars").texts == ["5", "1", "3"]  # which an encoder has learnt from
    again = open_texts("text:" + wrote("e.csv", "id,text\nx,as it is\ny,\nx,it was so\n"))
    assert again.keys == ["x#1", "x#2"] and again.broken == [("y#1", "is empty")] and "called 'x'" in again.notes[-1]
    assert again.beside()["id"]() == ["x", "x"]
    commas = open_texts("text:" + wrote("d.csv", "text;label\nas it is;0,126\nit was so;2\n"))
    assert commas.labels == ["0.126", "2"] and "decimals are written with commas" in commas.notes[-1]
    plain = open_texts("text:" + wrote("c.txt", "one\n\ntwo\r\n"))
    assert plain.texts == ["one", "two"] and plain.keys == ["line 1", "line 3"]


def test_lines_of_json_are_put_aside_one_by_one(here: Path) -> None:
    good = json.dumps({"text": "it is \u00e9", "label": ["a", "b"], "sure": True, "n": 3.0, "by": None})
    bad = [b'{"text": "a\xff"}', b"{", b"[1]", b'{"text": "\\ud800"}', b'{"text": ""}']
    found = open_texts(wrote("a.jsonl", b"\n".join([good.encode(), *bad])))
    assert found.texts == ["it is \u00e9"] and found.labels == ["a;b"]
    assert {name: told() for name, told in found.beside().items()} == {"sure": ["true"], "n": ["3"], "by": [""]}
    assert [key for key, _ in found.broken] == ["1", "2", "3", "4", "5"]
    reasons = ["byte 0xff at 11", "is no JSON", "is no object", "half a character", "is empty"]
    assert all(wanted in reason for wanted, (_, reason) in zip(reasons, found.broken))


def test_a_list_of_no_labels_is_known_to_have_none_and_null_is_not(here: Path) -> None:
    told = [{"text": "a b", "label": label} for label in (["cat", "dog"], [], None, ["cat"])]
    assert open_texts(wrote("a.jsonl", "\n".join(map(json.dumps, told)))).labels == ["cat;dog", ";", "", "cat"]


def test_a_table_of_parquet_is_read_by_its_names(here: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"body": ["a b", None, "c"], "label": [1, 0, 1]}), "a.parquet")
    found = open_texts("text:a.parquet")
    assert found.texts == ["a b", "c"] and found.labels == ["1", "1"] and found.broken == [("1", "is empty")]


def test_words_are_numbers_behind_a_beginning_and_what_is_too_long_is_cut_and_counted(here: Path) -> None:
    file = str(lines(here))
    whole, cut = open_samples(file), open_samples(file, context=6)
    x = whole.batch(np.arange(48))[0]
    assert x.shape == (48, *whole.preparation.shape) and not x.is_floating_point()
    assert (x[..., 0] == BEGIN).all() and (x[:, 0] >= WORDS).sum(dim=1).equal(_words(whole))
    ends = x[:, 0] == PADDING
    assert ends.any() and (ends.int().diff(dim=1) >= 0).all()  # nothing stands behind the end
    assert (cut.batch(np.arange(48))[0] == x[..., :7]).all() and not any("cut off" in note for note in whole.notes)
    longer = int((whole.lengths > 6).sum())
    assert f"{longer} of 48 texts are longer than 6 words" in cut.notes[-1]
    some = whole.subset(np.array([5, 2]))
    assert some.texts == [whole.texts[5], whole.texts[2]]
    assert (some.batch(np.arange(2))[0] == x[[5, 2]]).all() and some.keys == ["5", "2"]
    other = open_samples(str(lines(here, 24, seed=1)), like=cut.preparation)
    assert other.preparation is cut.preparation  # nothing is learnt from what is judged on


def test_a_label_that_was_named_is_known_to_the_encoder(here: Path) -> None:
    data = "text:" + wrote("a.csv", "text,mood,label\nit is so,good,x\nit was so,bad,y\n")
    like = open_samples(data, label_column="mood").preparation
    assert open_samples(data, like=like, labelled=True).labels == ["good", "bad"]
    assert open_samples(data, like=like, labelled=True, label_column="label").labels == ["x", "y"]
    other = "text:" + wrote("b.csv", "text,label\nit is so,x\n")
    assert open_samples(other, like=like, labelled=True).labels == ["x"]
    unnamed = open_samples(data).preparation
    assert unnamed.label is None and "label" not in unnamed.model_dump()  # as it was before there was any
    assert type(like).model_validate(like.model_dump(mode="json")) == like


def _words(samples: object) -> object:
    return torch.from_numpy(samples.lengths)  # type: ignore[attr-defined]


def test_a_fingerprint_is_of_content_and_labels_are_known_by_key(here: Path) -> None:
    rows = [f"{key},{text},{label}\n" for key, (label, text) in enumerate(sentences(48))]
    wrote("b.csv", "id,text,label\n" + "".join(rows))
    one, two = open_samples(str(lines(here))), open_samples("text:b.csv")
    assert one.fingerprint == two.fingerprint != open_samples(str(lines(here, seed=1))).fingerprint
    assert labels_by_key("text:b.csv")["3"] == labels_by_key(wrote("l.csv", "path,label\n3,ship\n"))["3"] == "ship"
    labelled = open_samples("text:b.csv", labels=Path("l.csv"), labelled=True)
    assert labelled.keys == ["3"] and labelled.labels == ["ship"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text:a.csv", "n,m\n1,2\n", "a.csv has no column that texts may be in: say which with --column; it has n, m"),
        ("text:a.csv", "a,b\nx y,z w\n", "a.csv has several columns that texts may be in"),
        ("text:a.csv", "text\n", "a.csv holds no lines but the names of its columns"),
        ("text:a.csv", "text,text\na,b\n", "two columns named 'text'"),
        ("text:a.png", b"x", "is neither a folder nor a file of these, which texts lie in: .txt, .csv"),
        ("text:a.txt", "\n", "a holds no texts that can be used"),
        ("a.jsonl", "3\n", "holds no JSON with an object a line: line 1 is no object of JSON"),
        ("text:nowhere.csv", None, "nowhere.csv does not exist"),
        ("text:a.zip", b"no zip", "cannot be read as an archive"),
    ],
)
def test_bad_files_get_one_line_that_says_what_is_wrong(
    here: Path, name: str, content: str | bytes | None, said: str
) -> None:
    if content is not None:
        wrote(name.removeprefix("text:"), content)
    with pytest.raises(DataError) as caught:
        open_texts(name)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("packed", "why"), [(zipfile.ZIP_STORED, "Bad CRC-32"), (zipfile.ZIP_DEFLATED, "Error -3 while decompressing")]
)
def test_a_damaged_member_of_a_zip_is_one_broken_text(here: Path, packed: int, why: str) -> None:
    with zipfile.ZipFile("a.zip", "w", packed) as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", " ".join(f"word{number}{place}" for place in range(90)))
    content = bytearray(Path("a.zip").read_bytes())
    place = content.find(b"2.txt") + len(b"2.txt")
    content[place : place + 9] = bytes(255 - byte for byte in content[place : place + 9])
    Path("a.zip").write_bytes(content)
    found = open_texts("text:a.zip")
    assert found.keys == ["0.txt", "1.txt", "3.txt"] and [key for key, _ in found.broken] == ["2.txt"]
    assert found.broken[0][1].startswith(f"cannot be read: {why}")


def test_bad_settings_are_refused_in_one_line(here: Path) -> None:
    file = str(lines(here))
    with pytest.raises(UsageError, match=r"--column nothing is no column of sentences-48-0\.jsonl; it has text, label"):
        open_samples(file, column="nothing")
    with pytest.raises(UsageError, match="--label-column a: some has no columns with names"):
        open_texts(f"text:{Path(wrote('some/1.txt', 'a')).parent}", "a")
    with pytest.raises(DataError, match=r"holds no texts: files of \.txt"):
        open_texts(f"text:{Path(wrote('none/1.md', 'a')).parent}")
    with pytest.raises(DataError, match=r"no images in some: saw 1 \.txt; texts are read as text:some; images are"):
        modality.named("images").open_samples("some")
    with pytest.raises(UsageError, match="--vocabulary is for a tokenizer that is learnt"):
        open_samples(file, tokenizer="t.json", vocabulary=1000)
    wrote("half.csv", "text\n" + "a\n" * 5 + '""\n' * 5)
    with pytest.raises(BrokenData, match="5 of 10 texts in half cannot be used, more than 1%; the first: 5 is empty"):
        open_samples("text:half.csv")
    assert open_samples("text:half.csv", tolerance=0.5).count == 5


def test_inspection_counts_what_a_run_would_meet(here: Path) -> None:
    wrote("a.csv", "text,label\na b c,x\na b c,y\nd,x\n,x\n")
    found = inspect("text:a.csv")
    assert (found.count, found.usable, found.things) == (4, False, "texts") and found.duplicates == [["0", "1"]]
    assert (
        found.texts and found.texts.words.max == 3 and found.texts.distinct_words == 4 and found.texts.letters.min == 1
    )
    assert found.labels == {"x": 2, "y": 1} and [one.path for one in found.broken] == ["3"]
    assert found.problems == [
        "1 of 4 texts (25%) cannot be used, more than 1%: mend or remove them, or leave them out with --tolerance"
    ]
