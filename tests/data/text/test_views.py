"""Views of texts, their encoders, and their pictures: what is cut, what is seen of what, and addresses."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import BEGIN, HIDDEN, PADDING, WORDS, TokenEncoder
from selftaught.data.text.encoders import ENCODERS, build_encoder
from selftaught.data.text.pictures import HOLE, contact_sheet, snippets, thumbnails, visible
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.tokenizer import learnt, tokenizer
from selftaught.data.text.views import AUGMENTATIONS, Views
from selftaught.judging.shown import features_of
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.data.text.writing import sentences

COUNT, LENGTH = 64, 25
PREPARATION = Preparation(words=200, length=LENGTH, tokenizer="")
SMALL = {"depth": 2, "width": 16, "heads": 2}


def texts() -> Tensor:
    """Texts whose words are 100, 101 and so on, so that each says where it stood; of 1 to 24 words."""
    x = torch.arange(100 - 1, 100 - 1 + LENGTH).repeat(COUNT, 1)
    ends = torch.arange(COUNT)[:, None] % (LENGTH - 1) + 2
    x = x.masked_fill(torch.arange(LENGTH) >= ends, PADDING)
    x[:, 0] = BEGIN
    return x[:, None]


def made(x: Tensor, rows: slice = slice(0, COUNT), name: str = "strong", **chosen: Any) -> Tensor:
    views = Views((name,), PREPARATION, {name: {"crop": 1.0, "delete": 0.0} | chosen})
    with randomness.at(0, 0, rows, COUNT):
        return views(torch.arange(COUNT)[rows], x[rows])[0]


def words(x: Tensor) -> list[list[int]]:
    return [[number for number in row if number >= WORDS] for row in x[:, 0].tolist()]


def test_a_crop_is_of_words_side_by_side_and_as_long_as_it_is_said() -> None:
    x = texts()
    assert torch.equal(made(x), x)
    cut = made(x, crop=0.4)
    assert cut.dtype == x.dtype and (cut[..., 0] == BEGIN).all()
    shares, starts = [], set()
    for whole, part in zip(words(x), words(cut)):
        assert part == list(range(part[0], part[0] + len(part))) and {*part} <= {*whole}
        shares.append(len(part) / len(whole))
        starts.add(part[0])
    assert min(shares) >= 0.4 and max(shares) == 1 and np.std(shares) > 0.1 and len(starts) > 5
    assert ((cut[:, 0] == PADDING).int().diff(dim=1) >= 0).all()


def test_deleted_words_are_gone_and_the_others_keep_their_order() -> None:
    x = texts()
    left = made(x, delete=0.5)
    for whole, part in zip(words(x), words(left)):
        assert part == sorted(part) and {*part} <= {*whole} and len(part) >= 1
    assert 0.4 < sum(map(len, words(left))) / sum(map(len, words(x))) < 0.6
    assert ((left[:, 0] == PADDING).int().diff(dim=1) >= 0).all() and (left[..., 0] == BEGIN).all()


@pytest.mark.parametrize("chosen", [{"crop": 0.3}, {"delete": 0.4}])
def test_a_share_of_a_batch_gets_what_it_gets_in_the_whole(chosen: dict[str, float]) -> None:
    whole = made(texts(), **chosen)
    assert torch.equal(made(texts(), slice(16, 32), **chosen), whole[16:32]) and not torch.equal(whole, texts())


def test_views_differ_and_unknown_ones_are_refused() -> None:
    views = Views(("strong", "strong", "plain", "index"), PREPARATION)
    with randomness.at(0, 0, slice(0, COUNT)):
        a, b, plain, index = views(torch.arange(COUNT), texts())
    assert not torch.equal(a, b) and torch.equal(plain, texts()) and index.tolist() == list(range(COUNT))
    assert {*AUGMENTATIONS} == {"light", "strong", "strong_other", "global", "local"}
    with pytest.raises(UsageError, match="view strong has no option 'flip'"):
        Views.refuse_unknown({"strong": {"flip": 1}})


def built(**options: Any) -> TokenEncoder:
    torch.manual_seed(0)
    return build_encoder(Part(name="text_tiny", options=SMALL | options), PREPARATION).eval()  # type: ignore[return-value]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_nothing_behind_the_end_of_a_text_matters(pooling: str) -> None:
    encoder, x = built(pooling=pooling), texts()
    with torch.no_grad():
        whole = encoder(x)
        for row in (0, 7, 20):
            short = x[row : row + 1, :, : int((x[row] != PADDING).sum())]
            assert torch.allclose(encoder(short), whole[row : row + 1], atol=1e-5)
        shown = features_of(encoder, x)
        (tokens, there) = (encoder.tokens(x).patches, (x[:, 0] != PADDING)[..., None])
    mean = (tokens * there).sum(dim=1) / there.sum(dim=1)
    assert torch.allclose(shown["mean"], mean, atol=1e-5)
    row = tokens[5][there[5, :, 0]]
    assert torch.allclose(shown["mean_std"][5, 16:], row.std(dim=0, correction=0), atol=1e-4)
    assert torch.allclose(encoder(x), mean if pooling == "mean" else tokens[:, 0], atol=1e-5)


def test_who_may_look_at_whom_is_kept_beside_what_is_there() -> None:
    encoder, x = built(), texts()[-1:]
    causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
    with torch.no_grad():
        before = encoder.tokens(x, attend=causal).patches
        other = x.clone()
        other[..., 10] = 50
        after = encoder.tokens(other, attend=causal).patches
        moved = (before != after).any(dim=2)[0]
        kept = encoder.tokens(x, keep=torch.arange(10)[None])
    assert not moved[:10].any() and moved[10] and kept.patches.shape[1] == 10 and kept.there is not None
    assert torch.equal(kept.there, x[:, 0, :10] != PADDING)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_have_maps_and_gradients_everywhere(name: str) -> None:
    encoder = build_encoder(Part(name=name, options=SMALL | {"dropout": 0.1}), PREPARATION)
    features, places = encoder.feature_and_map(texts())
    assert features.shape == (COUNT, 16) and places.shape == (COUNT, 16, LENGTH) and encoder.origin.name == name
    assert not places[0, :, 2:].any()
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
    assert not torch.equal(encoder(texts()), encoder(texts()))  # dropout, in training
    assert torch.equal(encoder.eval()(texts()), encoder(texts()))


def test_what_cannot_be_built_or_asked_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="no encoder of texts named 'text_large'"):
        build_encoder(Part(name="text_large"), PREPARATION)
    with pytest.raises(UsageError, match="encoder option 'width' cannot be 15: it is a multiple of the 2 heads"):
        built(width=15)
    with pytest.raises(UsageError, match="words have no values behind them"):
        built().patchify(texts())
    own = nn.Sequential(nn.Flatten(), nn.EmbeddingBag(200, 8))
    assert build_encoder(Part(name="own"), PREPARATION, own)(texts()).shape == (COUNT, 8)


def test_pictures_read_as_the_texts_do() -> None:
    held = learnt([text for _, text in sentences(48)], 600)
    preparation = Preparation.of(held, 20, None, None)
    x = torch.zeros(2, 1, 12, dtype=torch.long)
    (row,) = tokenizer(held).encoded([" the cat sat"])
    x[0, 0, : 1 + len(row)] = torch.tensor([BEGIN, *row])
    x[1, 0, :4] = torch.tensor([BEGIN, row[0], HIDDEN, row[-1]])
    assert snippets(x, preparation) == ["the cat sat", f"the {HOLE} sat"]
    (odd,) = tokenizer(held).encoded(["a\x1b[31mb"])
    x[0, 0, 1 : 1 + len(odd)] = torch.tensor(odd)
    assert snippets(x, preparation)[0].startswith("a\\x1b[31mb")
    drawn = visible(x.float(), preparation)  # as what a method answered is kept
    assert drawn.ndim == 4 and (drawn[0] != drawn[1]).any() and thumbnails(x, preparation, 48).shape == (2, 32, 48, 3)
    assert contact_sheet({"text": x, "shown": x}, preparation, 2).width > 400
