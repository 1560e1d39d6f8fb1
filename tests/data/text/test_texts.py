"""Texts from end to end: the same methods and commands as for images and rows, and four questions about words."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts.encoder import HIDDEN, PADDING, WORDS
from selftaught.contracts.method import Data
from selftaught.data.text.baseline import TfIdf
from selftaught.data.text.encoders import build_encoder
from selftaught.data.text.samples import open_samples
from selftaught.data.text.tokenizer import Tokenizer
from selftaught.judging.opening import open_labelled
from selftaught.judging.sources import _fitted
from selftaught.methods import registry
from selftaught.methods.parts.words import drawn_by, in_place_of, some_words, without_words
from selftaught.run.recipes import Evaluate
from selftaught.system import randomness
from selftaught.system.errors import UsageError
from tests.data.text.writing import lines, sentences
from tests.methods.making import BATCH, OF_TEXTS, PAIRS, TEXTS, made, small, texts

CLASSES = {name: registry.method_class(name) for name in registry.places()}
GENERAL = [name for name, kind in PAIRS if kind == "text" and not CLASSES[name].needs_words]
REFUSED = set(CLASSES) - {name for name, kind in PAIRS if kind == "text"}
TINY = ["--encoder", "text_tiny", "--encoder.width", "16", "--encoder.depth", "1"]
SOUND = ["--batch-size", "16", "--precision", "32-true", "--layout", "contiguous"]
QUICK = {
    "check": ["--batch-size", "16", "--json"],
    "preview": [*TINY, "--samples", "4"],
    "pretrain": [*TINY, *SOUND, "--map", "24"],
    "evaluate": ["--probe", "knn,linear", "--labels", "5", "--repeats", "1", "--json"],
    "finetune": ["--finetune.epochs", "1"],
}
HOW: dict[str, Any] = {"encoder": OF_TEXTS, "batch_size": 16, "map": 0, "precision": "32-true", "layout": "contiguous"}


def drawn(step: int = 0) -> torch.Tensor:
    return texts(torch.Generator().manual_seed(step))


@pytest.mark.parametrize("name", GENERAL)
def test_general_methods_know_words_by_the_encoder_alone(name: str) -> None:
    """Other numbers for words, and the encoder's embedding in their order: one that reckons with numbers differs."""
    losses, order = [], torch.randperm(TEXTS.words - WORDS, generator=torch.Generator().manual_seed(0)) + WORDS
    other = torch.cat([torch.arange(WORDS), order])
    for renamed in (False, True):
        torch.manual_seed(0)
        encoder = build_encoder(OF_TEXTS, TEXTS)
        if renamed:
            weight = encoder.net.embed.weight.data
            weight[other] = weight.clone()
        method = CLASSES[name](encoder, Data.of(TEXTS, 64), **small(name))
        given = [other[drawn(place)] if renamed else drawn(place) for place, _ in enumerate(method.views)]
        method.start(given[0])
        views = [torch.arange(BATCH) if view == "index" else x for view, x in zip(method.views, given)]
        with randomness.at(0, 0, slice(0, BATCH)):
            loss = sum(method(*views).values())
        loss.backward()
        losses.append(loss.item())
        assert encoder.net.blocks[0].attn.qkv.weight.grad.any()  # type: ignore[union-attr, index]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and np.isfinite(losses[0])


def test_most_contrastive_methods_take_texts() -> None:
    assert len(GENERAL) >= 20 and {"simclr", "vicreg", "byol", "barlow_twins", "dino", "swav"} <= {*GENERAL}
    assert {"mae", "denoising", "data2vec", "vime", "subtab", "rotation", "simmim", "aim"} <= REFUSED


def test_methods_of_other_data_are_refused_in_one_line(tmp_path: Path) -> None:
    file = str(lines(tmp_path))
    for name, said in (
        ("mae", "values such as pixels"),
        ("denoising", "values such as pixels"),
        ("rotation", "images"),
    ):
        with pytest.raises(UsageError, match=rf"{name} asks about {said}, and .* holds texts"):
            selftaught.pretrain(file, method=name, out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="mlm asks about words, and sklearn:digits holds images"):
        selftaught.pretrain("sklearn:digits", method="mlm", out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="--context 8 is for texts, and these are rows"):
        selftaught.pretrain("sklearn:wine", context=8, out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="--window 8 is for series: texts are not cut into windows"):
        selftaught.pretrain(file, window=8, out=str(tmp_path / "a"))


def test_a_share_of_the_words_that_are_there_is_chosen() -> None:
    x = drawn().repeat(16, 1, 1)
    with randomness.at(0, 0, slice(0, len(x))):
        places, counts = some_words(x, 0.3)
        left = without_words(x, 0.6)
    there = (x[:, 0] >= WORDS).sum(dim=1)
    assert torch.equal(counts.sum(dim=1), (0.3 * there).round().clamp(min=1).long())
    assert (x[:, 0].gather(1, places)[counts] >= WORDS).all()
    assert torch.equal((left[:, 0] >= WORDS).sum(dim=1), (0.4 * there).round().clamp(min=1).long())
    for whole, part in zip(x[:, 0].tolist(), left[:, 0].tolist()):
        rest = iter(whole)
        assert all(word in rest for word in part if word != PADDING)  # in their order


def test_of_what_is_chosen_most_is_hidden_some_is_another_and_some_stays() -> None:
    words = torch.full((400, 10), 7)
    with randomness.at(0, 0, slice(0, 400)):
        found = in_place_of(words, 1000, 0.8, 0.1)
    shares = [(found == HIDDEN).float().mean(), (found == 7).float().mean()]
    assert shares[0] == pytest.approx(0.8, abs=0.02) and shares[1] == pytest.approx(0.1, abs=0.02)
    others = found[(found != HIDDEN) & (found != 7)]
    assert others.min() >= WORDS and others.unique().numel() > 200


def test_words_are_drawn_by_their_probabilities() -> None:
    scores = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.6, 0.3]).log().expand(3000, 2, 6)
    with randomness.at(0, 0, slice(0, 3000)):
        shares = drawn_by(scores).flatten().bincount(minlength=6) / 6000
    assert torch.allclose(shares, torch.tensor([0.0, 0.0, 0.0, 0.1, 0.6, 0.3]), atol=0.02)


def test_mlm_is_asked_about_chosen_words_alone_and_is_shown_none_of_the_hidden() -> None:
    method, x = made("mlm", hidden=1.0, random=0.0).eval(), drawn()
    seen: list[torch.Tensor] = []
    method.encoder.net.embed.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with randomness.at(0, 0, slice(0, BATCH)), torch.no_grad():
        before = method(x)["words"]
    hidden = seen[0] == HIDDEN
    assert hidden.any() and (x[:, 0][hidden] >= WORDS).all()
    scores = torch.nn.functional.log_softmax(method.head(method.tokens.tokens(seen[0][:, None]).patches), dim=2)
    assert before == pytest.approx(-scores[hidden].gather(1, x[:, 0][hidden][:, None]).mean().item(), rel=1e-5)


@pytest.mark.parametrize("prefix", [True, False])
def test_what_says_the_next_word_has_not_seen_it(prefix: bool) -> None:
    method, x = made("next_word", prefix=prefix).eval(), drawn()
    with torch.no_grad():
        for place in range(2, TEXTS.length):
            other = x.clone()
            there = other[:, 0, place] >= WORDS
            other[:, 0, place] = torch.where(there, (other[:, 0, place] - WORDS + 1) % 37 + WORDS, PADDING)
            said = []
            for given in (x, other):
                with randomness.at(0, 0, slice(0, BATCH)):
                    scores, asked = method._predict(given)
                said.append(scores[:, place - 1][asked[:, place - 1]])
            assert torch.equal(*said)
            if not prefix:
                assert torch.equal(asked[:, place - 1], there)
    assert asked.any(dim=1).all()  # of each text something


def test_tsdaes_decoder_knows_of_a_text_its_feature_and_the_words_before() -> None:
    method, x = made("tsdae").eval(), drawn()
    features = torch.randn(BATCH, method.encoder.dim)
    with torch.no_grad():
        one = method.decoder(x, causal=True, given=features)
        other = x.clone()
        other[1:, 0, 1] = WORDS + 5
        two, three = (
            method.decoder(other, causal=True, given=features),
            method.decoder(x, causal=True, given=features + 1),
        )
    assert torch.equal(one[:, 0], two[:, 0]) and not torch.equal(one[1:, 1], two[1:, 1])
    assert not torch.isclose(one[:, 0], three[:, 0]).all()


def test_no_gradient_goes_from_electras_encoder_to_its_small_network() -> None:
    found = []
    for term in ("words", "replaced"):
        method = made("electra")
        with randomness.at(0, 0, slice(0, BATCH)):
            method(drawn())[term].backward()
        grads = [
            [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
            for part in (method.generator, method.encoder)
        ]
        found.append([any(own) for own in grads])
    assert found == [[True, False], [False, True]]


def test_tf_idf_is_fitted_on_the_training_part_alone(tmp_path: Path) -> None:
    file = str(lines(tmp_path))
    data = open_labelled(Evaluate(run="", train=file), open_samples(file).preparation)
    part = np.arange(0, 40)
    found = _fitted(TfIdf, data, 0, part)
    data.train.texts[40:] = ["zebra quagga"] * 8  # of the other part no word is known
    changed = _fitted(TfIdf, data, 0, part)
    assert np.allclose(found[:40], changed[:40]) and not changed[40:].any() and found[40:].any()


def test_the_pages_commands_lead_from_texts_to_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{label},{text}\n" for label, text in sentences(48))
    Path("reviews.csv").write_text("label,text\n" + rows)
    page = (Path(__file__).parents[3] / "docs" / "text.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    said = {}
    for line in block.splitlines():
        words = line.replace("--epochs 100", "--steps 4").split()[1:]
        assert run_command([*words, *QUICK.get(words[0], ())]) == 0, line
        said[words[0]] = capsys.readouterr().out
    found, judged = (json.loads(said[name]) for name in ("check", "evaluate"))
    assert found["things"] == "texts" and found["texts"]["column"] == "text" and found["forecast"]["seconds"] > 0
    assert Image.open("preview.png").width > 4 * 200
    assert {row["features"] for row in judged["rows"]} == {"trained", "untrained", "pixels"}
    assert "TF-IDF" in judged["verdict"] and judged["things"] == "texts"
    assert len(Path("predictions.csv").read_text().splitlines()) == 49
    assert Path("run/encoder/model.onnx").is_file() and "TF-IDF" in Path("run/report.html").read_text()
    report, first = Path("run/report.html").read_text(), rows.splitlines()[0].partition(",")[2]
    assert 'class="snippet"' in report and f"0: {first}"[:40] in report and "merges" not in report
    encoder = selftaught.load_encoder("run")
    samples = open_samples("text:reviews.csv", like=encoder.preparation)
    with torch.no_grad():
        again = encoder(samples.batch(np.arange(48))[0]).numpy()
    assert np.allclose(again, np.load("features.npz")["features"], atol=1e-5)
    assert "text-feature-extraction" in Path("run/encoder/README.md").read_text()
    for folder in ("run/encoder", "classifier/classifier"):
        assert Tokenizer(Path(folder, "tokenizer.json").read_text()).words == encoder.preparation.words
    assert (
        run_command(["pretrain", "text:reviews.csv", *QUICK["pretrain"], "--steps", "1", "--out", "run", "--overwrite"])
        == 0
    )


def test_a_run_that_goes_on_keeps_its_tokenizer_and_ends_as_one_that_was_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(lines(tmp_path))
    how = {"method": "mlm", **HOW, "context": 10, "limit": 40}
    whole = selftaught.pretrain(data, out=str(tmp_path / "whole"), steps=6, **how)
    for step in selftaught.steps(data, out=str(tmp_path / "run"), steps=6, **how):
        if step.step == 3:
            break
    # As another version of the library might learn another one.
    monkeypatch.setattr("selftaught.data.text.tokenizer.learnt", lambda *given: 1 / 0)
    again = selftaught.pretrain(data, out=str(tmp_path / "run"), steps=6, resume=True, **how)
    one, two = (selftaught.load_encoder(run.folder).state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one) and again.recipe.context == 10


def test_a_config_whose_words_are_not_those_of_its_weights_is_refused(tmp_path: Path) -> None:
    run = selftaught.pretrain(str(lines(tmp_path)), out=str(tmp_path / "run"), steps=1, **HOW)
    file = tmp_path / "run/encoder/model.safetensors"
    held = load_file(file)
    held["embed.weight"] = held["embed.weight"][:-1].clone()
    save_file(held, file)
    with pytest.raises(UsageError, match=r"model\.safetensors is not this encoder's"):
        selftaught.load_encoder(run.folder)


def test_a_run_that_starts_from_another_one_knows_its_words(tmp_path: Path) -> None:
    first = selftaught.pretrain(str(lines(tmp_path)), out=str(tmp_path / "first"), steps=1, context=9, **HOW)
    other, init = str(lines(tmp_path, 32, seed=1)), str(first.folder)
    run = selftaught.pretrain(other, out=str(tmp_path / "second"), steps=1, init=init, **HOW)
    assert selftaught.load_encoder(run.folder).preparation == selftaught.load_encoder(first.folder).preparation
    theirs = selftaught.pretrain(other, out=str(tmp_path / "third"), steps=1, init=init, **{**HOW, "encoder": None})
    assert theirs.recipe.encoder == first.recipe.encoder and run.recipe.encoder == first.recipe.encoder
    with pytest.raises(UsageError, match=r"--context is that of --init .*first, whose weights know no other words"):
        selftaught.pretrain(other, out=str(tmp_path / "a"), steps=1, init=init, context=5, **HOW)
    weights = tmp_path / "first/encoder/model.safetensors"
    beside = selftaught.pretrain(other, out=str(tmp_path / "fourth"), steps=1, init=str(weights), **HOW)
    assert selftaught.load_encoder(beside.folder).preparation == selftaught.load_encoder(first.folder).preparation
    alone = shutil.copy(weights, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"--init .*model\.safetensors does not say which words it knows: name a run"):
        selftaught.pretrain(other, out=str(tmp_path / "a"), steps=1, init=str(alone), **HOW)


def test_views_of_somebodys_own_stay_whole_numbers(tmp_path: Path) -> None:
    shown: list[torch.dtype] = []

    def turned(plain: torch.Tensor) -> torch.Tensor:
        shown.append(plain.dtype)
        return plain

    run = selftaught.pretrain(str(lines(tmp_path)), out=str(tmp_path / "run"), steps=1, views={"strong": turned}, **HOW)
    assert run.status["state"] == "done" and {*shown} == {torch.int64}
