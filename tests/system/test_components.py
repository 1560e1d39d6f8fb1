"""Options of components: their annotations decide what a value may be, and say so in the error line."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from selftaught.system import components
from selftaught.system.errors import UsageError

Share = Annotated[float, Field(ge=0, lt=1, description="a share below 1")]


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("The first is the smaller one")
    return pair


def built(
    *,
    frozen: Share = 0.1,
    held_out: Share | None = None,
    most: Annotated[Share, Field(description="less than a whole")] = 0.5,
    lr: Annotated[float, Field(gt=0)] = 1.0,
    shift: float = 0.0,
    kind: Literal["LARS", "sgd"] = "sgd",
    both: tuple[Share, Share] = (0.0, 0.5),
    between: Annotated[tuple[float, float], AfterValidator(rising)] = (0.0, 1.0),
    width: Annotated[tuple[float, float], AfterValidator(rising), Field(description="two widths, such as 1,2")] = (
        1,
        2,
    ),
) -> None: ...


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("frozen", 2, "cannot be 2: it is a share below 1"),
        ("frozen", "hot", "cannot be 'hot': it is a share below 1"),
        ("frozen", float("nan"), "cannot be nan: it is a share below 1"),
        ("held_out", -1, "cannot be -1: it is a share below 1"),
        ("most", 1, "cannot be 1: it is less than a whole"),
        ("lr", 0, "cannot be 0: input should be greater than 0"),
        ("lr", float("inf"), "cannot be inf: input should be a finite number"),
        ("shift", float("nan"), "cannot be nan: input should be a finite number"),
        ("kind", "adam", "cannot be 'adam': input should be 'LARS' or 'sgd'"),
        ("both", [0, 2], "cannot be [0, 2]: input should be less than 1"),
        ("between", [2, 1], "cannot be [2, 1]: the first is the smaller one"),
        ("width", [2, 1], "cannot be [2, 1]: it is two widths, such as 1,2"),
        ("width", 3, "cannot be 3: it is two widths, such as 1,2"),
    ],
)
def test_a_value_that_does_not_fit_is_one_line_that_says_what_would(name: str, value: Any, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        components.checked("part", built, {name: value})
    assert str(caught.value) == f"part option {name!r} {line}"


def test_values_that_fit_come_back_as_their_types() -> None:
    chosen = {"frozen": "0", "held_out": None, "both": [0, 0.5], "kind": "LARS"}
    assert components.checked("part", built, chosen) == {**chosen, "frozen": 0.0, "both": (0.0, 0.5)}
    with pytest.raises(UsageError, match="did you mean 'held_out'"):
        components.checked("part", built, {"heldout": 1})


def test_true_is_no_number_of_what_begins_and_stays_the_one_it_was_of_what_is_there() -> None:
    def switched(*, on: bool = False, shift: float = 0.0, most: Share | None = None, any_of: Any = None) -> None: ...

    right: dict[str, Any] = {"on": True, "any_of": True, "shift": 1, "most": None}
    with components.asked_anew():
        assert components.checked("part", switched, right) == right
        for chosen, line in (
            ({"shift": True}, "'shift' cannot be True: it is not true or false, which in YAML"),
            ({"most": False}, "'most' cannot be False: it is a share below 1"),
        ):
            with pytest.raises(UsageError, match=line):
                components.checked("part", switched, chosen)
        with pytest.raises(UsageError, match=r"'both' cannot be .*: it is not true or false"):
            components.checked("part", built, {"both": [False, 0.5]})
    assert components.checked("part", switched, {"shift": True, "most": False}) == {"shift": 1.0, "most": 0.0}


def test_an_option_is_called_as_a_recipe_and_the_command_line_call_it() -> None:
    for what, option in (("view strong", "views.strong.shfit"), ("method simclr", "method.shfit"), ("x", "x.shfit")):
        with pytest.raises(components.OptionError) as caught:
            components.checked(what, built, {"shfit": 1})
        assert caught.value.option == option
    with pytest.raises(components.OptionError), components.options_of("r.yaml", "leave {} out", ["views.strong.shfit"]):
        components.checked("view strong", built, {"shfit": 1})


def test_bounds_are_no_part_of_the_type_that_is_listed() -> None:
    listed = components.options(built)
    assert listed["frozen"].type is float and listed["held_out"].type == float | None
    assert listed["frozen"].default == 0.1
