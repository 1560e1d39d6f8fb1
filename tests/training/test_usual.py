"""Where the user has chosen nothing of it, a run on so many images has what was measured to suit them on a CPU."""

import pytest

from selftaught.data.images.preparation import default_size
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.measured import Measured, Usual
from selftaught.training.resolve import Counted, resolve
from selftaught.training.usual import chosen_as_usual
from tests.training.test_few import PREPARATION, asked, planned


def test_usual_choices_are_taken_where_the_user_has_made_none(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, views = Part(name="vit_tiny_patch16_224"), {"light": {"flip": 0.0}}
    usual = Usual(method="mae", encoder=tokens, size=64, views=views, measured=True)
    for room in ("training.usual", "data.images.preparation"):
        monkeypatch.setattr(f"selftaught.{room}.known", lambda: Measured(below=1000, usual=usual))
    plan = planned(999)
    assert (plan.method.name, plan.encoder, plan.views) == ("mae", tokens, views)
    own = "--method simclr, named, keeps the views of its preset and has a plain encoder"
    said = "--method mae --encoder vit_tiny_patch16_224 --views.light.flip 0"
    assert chosen_as_usual(asked(), plan, 999) == [f"chosen for a CPU and fewer than 1,000 images: {said}; {own}"]
    assert chosen_as_usual(asked(method="mae"), planned(999, method="mae"), 999) == []
    assert chosen_as_usual(asked(), planned(1000), 1000) == []
    chosen = ({"method": "simclr"}, {"encoder": "resnet10t"}, {"grow": "0.5:0.5"})
    for plan in (planned(1000), *(planned(999, **own) for own in chosen)):
        assert (plan.method.name, plan.encoder.name, plan.views) == ("simclr", "resnet10t", {})
    again = Pretrain.parse(planned(1000).model_dump())  # as a run that goes on
    assert resolve(again.model_copy(update={"resume": True}), Counted(999, PREPARATION)).method.name == "simclr"
    assert default_size({(300, 200)}, "cpu", 999) == (64, 64) and default_size({(300, 200)}, "cpu", 1000) == (96, 96)
    assert default_size({(32, 32)}, "cpu", 999) == (32, 32)


def test_of_more_images_their_own_choices_are_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Part(name="resnet10t", options={"filters": 30})
    found = Measured(below=1000, usual=Usual(method="mae"), many=Usual(method="simclr", encoder=wide))
    for room in ("training.usual", "data.images.preparation"):
        monkeypatch.setattr(f"selftaught.{room}.known", lambda: found)
    assert planned(999).encoder.options == {}
    plan = planned(1000)
    assert (plan.method.name, plan.encoder, plan.views) == ("simclr", wide, {})
    said = "--encoder resnet10t --encoder.filters 30; --method simclr, named, has a plain encoder"
    assert chosen_as_usual(asked(), plan, 1000) == [f"chosen for a CPU and 1,000 images or more: {said}"]
    plain = asked(method="simclr")
    assert planned(1000, method="simclr").encoder.options == {} == planned(1000, encoder="resnet18").encoder.options
    assert chosen_as_usual(plain, planned(1000, method="simclr"), 1000) == []
    own = asked(encoder={"name": "resnet18", "options": {"filters": 5}})
    assert chosen_as_usual(own, resolve(own, Counted(1000, PREPARATION)), 1000) == []  # by whom it was named
    on_card = resolve(asked(), Counted(1000, PREPARATION, device="cuda"))
    assert (on_card.encoder.name, on_card.encoder.options) == ("resnet18", {})
