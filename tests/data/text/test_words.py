"""A tokenizer that is learnt or named, the preparation that holds it, and TF-IDF beside."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from selftaught.contracts.encoder import WORDS
from selftaught.data.text import baseline
from selftaught.data.text.baseline import PAIRS, WORD, TfIdf
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.tokenizer import MARKS, Tokenizer, digest_of, learnt, read, usual_vocabulary
from selftaught.system.errors import DataError, UsageError
from tests.data.text.writing import sentences

TEXTS = [text for _, text in sentences(48)]


def test_byte_pairs_write_any_text_and_are_the_same_for_the_same_texts() -> None:
    held = learnt(TEXTS, 600)
    assert held == learnt(TEXTS, 600) != learnt(TEXTS[:20], 600)
    made = Tokenizer(held)
    odd = ["the cat sat", "\u6f22\u5b57 and \U0001f600", f"a text about {MARKS[0]} and {MARKS[1]}", "\x00\ttab"]
    for text, numbers in zip(odd, made.encoded(odd)):
        assert min(numbers) >= WORDS and max(numbers) < made.words and made.decoded([0, 2, *numbers, 0]) == text
    known, unknown = made.encoded([" cat", " qzx"])
    assert len(known) == 1 and len(unknown) == 4  # what stands often is one word


def test_as_many_words_as_there_is_text_for() -> None:
    assert [usual_vocabulary(["x" * count]) for count in (0, 300_000, 10**6, 10**8)] == [1024, 2048, 4096, 16384]
    assert Tokenizer(learnt(TEXTS, 300)).words <= 300


def test_somebodys_tokenizer_is_moved_behind_the_marks_and_ours_is_not(tmp_path: Path) -> None:
    theirs = {"[UNK]": 0, "cat": 1, "ship": 2}
    word = {"type": "WordLevel", "vocab": theirs, "unk_token": "[UNK]"}
    file = tmp_path / "tokenizer.json"
    file.write_text(
        json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}} | {"model": word})
    )
    made = Tokenizer(read(str(tmp_path)))  # a folder has the file in it
    assert made.words == 3 + WORDS and list(made.encoded(["cat ship dog"])) == [[1 + WORDS, 2 + WORDS, WORDS]]
    ours = learnt(TEXTS, 600)
    file.write_text(ours)
    assert read(str(file)) == ours and Tokenizer(ours).words == max(json.loads(ours)["model"]["vocab"].values()) + 1


@pytest.mark.parametrize("content", ['{"a": 1}', "no JSON", "", b"\xff\xfe"])
def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=r"--tokenizer .*t\.json (is no tokenizer\.json|cannot be read)") as caught:
        read(str(file))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"--tokenizer .*none\.json cannot be read: No such file"):
        read(str(tmp_path / "none.json"))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"texts need tokenizers: pip install 'selftaught\[text\]'"):
        learnt(TEXTS, 600)


def test_a_preparation_with_another_tokenizer_than_its_digest_is_refused() -> None:
    held = learnt(TEXTS, 600)
    whole = Preparation.of(held, 20, None, "text")
    assert whole.shape == (1, 21) and Preparation.of(held, 500, None, None).length == 129
    assert Preparation.of(held, 500, 64, None).length == 65 and whole.digest == digest_of(held)
    told = whole.model_dump(mode="json")
    assert Preparation.model_validate(told) == whole
    with pytest.raises(ValueError, match="its tokenizer is another one than its digest says"):
        Preparation.model_validate({**told, "tokenizer": held.replace("cat", "dog")})
    with pytest.raises(DataError):
        Tokenizer("{}")


def samples(texts: list[str]) -> SimpleNamespace:
    return SimpleNamespace(texts=texts)


def test_tf_idf_turned_into_few_directions_says_what_all_of_it_says() -> None:
    train, test = sentences(40), sentences(30, seed=1)
    ours = TfIdf(samples([text for _, text in train]), 0)
    whole = TfidfVectorizer(ngram_range=PAIRS, sublinear_tf=True, token_pattern=WORD)
    x = whole.fit_transform(text for _, text in train)
    y = [label for label, _ in train]
    assert ours(samples([text for _, text in test])).shape[1] <= 40 < x.shape[1]
    said = []
    for learn, ask in (
        (x, whole.transform(text for _, text in test)),
        (ours(samples([t for _, t in train])), ours(samples([t for _, t in test]))),
    ):
        said.append(LogisticRegression(C=10, tol=1e-8, max_iter=1000).fit(learn[:10], y[:10]).decision_function(ask))
    assert np.allclose(*said, atol=1e-3) and np.abs(said[0]).max() > 0.5


def test_tf_idf_of_many_texts_keeps_what_tells_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "EXACT", 16)
    monkeypatch.setattr(baseline, "FOREMOST", 8)
    texts = [text for _, text in sentences(40)]
    made = TfIdf(samples(texts), 0)
    found, y = made(samples(texts)), np.arange(40) % 2
    assert found.shape == (40, 8) and LogisticRegression().fit(found[:20], y[:20]).score(found[20:], y[20:]) == 1.0


def test_tf_idf_of_texts_without_words_is_a_column_of_zeros() -> None:
    made = TfIdf(samples(["\U0001f600", "!?", "\U0001f600 \U0001f601"]), 0)
    assert made(samples(["\U0001f600", "a word"])).tolist() == [[0.0], [0.0]]
