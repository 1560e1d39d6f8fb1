"""Models of transformers from a folder: the library's own features, the words of the folder, and a way to go on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import selftaught
from selftaught.data.text import MODALITY, tokenizer
from selftaught.data.text.transformers import begun
from selftaught.system.errors import UsageError
from tests.data.text.writing import lines, sentences

transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'selftaught[text]'")
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402 - where it is there

QUICK: dict[str, Any] = {"steps": 3, "batch_size": 8, "precision": "32-true", "layout": "contiguous", "map": 0}
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"]  # not in BERT's order, so that numbers are looked up
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}


def model(folder: Path, kind: str, **more: Any) -> Any:
    """A fresh model with a tokenizer of our sentences' words, saved as transformers saves them."""
    words = sorted({word for _, text in sentences(200) for word in text.split()})
    held = Tokenizer(models.WordLevel({word: at for at, word in enumerate([*SPECIAL, *words])}, unk_token="[UNK]"))
    held.pre_tokenizer = pre_tokenizers.Whitespace()
    held.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=held, **names).save_pretrained(folder)
    sizes = DISTIL if kind == "distilbert" else SMALL
    config = transformers.AutoConfig.for_model(
        kind,
        **{"vocab_size": len(SPECIAL) + len(words), "max_position_embeddings": 40, "pad_token_id": 4, **sizes, **more},
    )
    torch.manual_seed(0)
    made = transformers.AutoModelForMaskedLM.from_config(config)
    made.save_pretrained(folder)
    return made.base_model.eval()


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_features_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    theirs = model(tmp_path / "model", kind)
    data = str(lines(tmp_path))
    run = selftaught.pretrain(data, method="mlm", init=str(tmp_path / "model"), out=tmp_path / "run", lr=1e-12, **QUICK)
    assert run.recipe.encoder.name == "transformers" and run.recipe.preset == "warm"
    encoder = run.encoder()
    texts = [text for _, text in sentences(5)]
    samples = MODALITY.open_samples(data, like=encoder.preparation)
    (x,) = samples.batch(torch.arange(5).numpy())
    number = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json")).token_to_id
    for row, text in enumerate(texts):
        own = torch.tensor([[1, *(number(word) for word in text.split())]])
        with torch.no_grad():
            expected = theirs(input_ids=own).last_hidden_state
            tokens = encoder.tokens(x[row : row + 1])
            torch.testing.assert_close(tokens.patches[:, : own.shape[1]], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(encoder(x[row : row + 1]), expected.mean(dim=1), rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_is_judged_and_needs_the_folder_no_more(tmp_path: Path) -> None:
    model(tmp_path / "model", "bert")
    data, init = str(lines(tmp_path)), str(tmp_path / "model")
    how: dict[str, Any] = {"init": init, "out": tmp_path / "run", "checkpoint_every": "2", **QUICK}
    run = selftaught.pretrain(data, method="mlm", **how)
    (tmp_path / "model").rename(tmp_path / "gone")
    again = selftaught.pretrain(data, method="mlm", **{**how, "resume": True})
    assert again.status["state"] == "done"
    judged = run.evaluate(data, probe="knn", repeats=1)
    assert {row.features for row in judged.rows} == {"trained", "initial", "untrained", "pixels"}
    loaded = selftaught.load_encoder(run.folder)
    assert loaded.preparation == run.encoder().preparation
    run.finetune(data, tmp_path / "classifier", finetune={"epochs": 1})
    said = selftaught.predict(tmp_path / "classifier", data)
    assert len(said.keys) == 48


@pytest.mark.parametrize("method", ["simclr", "next_word", "electra", "tsdae", "vicreg"])
def test_methods_take_it_as_any_other(method: str, tmp_path: Path) -> None:
    model(tmp_path / "model", "bert")
    run = selftaught.pretrain(
        str(lines(tmp_path)), method=method, init=str(tmp_path / "model"), out=tmp_path / "run", **QUICK
    )
    assert all(line["loss"] < 100 for line in run.metrics())


def test_marks_are_looked_up_and_layers_counted(tmp_path: Path) -> None:
    model(tmp_path / "model", "bert")
    part = begun(str(tmp_path / "model"))
    assert part and part.options["marks"] == [4, 3, 1] and json.loads(part.options["config"])["model_type"] == "bert"
    assert begun(str(tmp_path)) is None and begun("simclr") is None


def test_what_cannot_be_begun_with_is_one_line(tmp_path: Path) -> None:
    model(tmp_path / "model", "bert")
    data, init = str(lines(tmp_path)), str(tmp_path / "model")
    how: dict[str, Any] = {"out": tmp_path / "run", **QUICK}

    def said(**more: Any) -> str:
        with pytest.raises(UsageError) as told:
            selftaught.pretrain(data, method="mlm", **{**how, **more})
        assert not (tmp_path / "run").exists() and "\n" not in str(told.value)
        return str(told.value)

    model(tmp_path / "short", "bert", max_position_embeddings=10)
    assert "sees 9 words of a text at most: say --context 9" in said(init=str(tmp_path / "short"))
    model(tmp_path / "few", "bert", vocab_size=20)
    assert "the model knows 20 words, and the tokenizer" in said(init=str(tmp_path / "few"))
    assert "name it by --init" in said(encoder="transformers")
    (tmp_path / "model" / tokenizer.FILE).unlink()
    assert "does not say which words it knows: save a fast tokenizer there" in said(init=init)
    config = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 16, "vocab_size": 400}
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "tokenizer.json").write_text(tokenizer.learnt(["a b c"] * 9, 300))
    for model_type, words in (("t5", "is no encoder of texts alone"), ("no_such", "no encoder can be made of this")):
        (tmp_path / "t5" / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        assert words in said(init=str(tmp_path / "t5"))
