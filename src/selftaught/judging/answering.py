"""What somebody who labels may answer: one class, several, or a number; and as what files of labels have it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from selftaught.data.sources.cells import NOTHING
from selftaught.data.sources.labels import label_text, several_text
from selftaught.judging.targets import BETWEEN, HELD, Task, looks, names_in, number_in
from selftaught.system.errors import DataError, UsageError
from selftaught.system.saying import say
from selftaught.system.text import printable

LONGEST = 100  # letters of a class, and of what is told of a mistake

Said = str | Sequence[str]  # a class or a number as it was typed; or the names of several classes


class OneClass:
    """One of the classes, which may become more."""

    task: Task = "classes"
    in_one_stroke = True  # whether samples that are alike may have the same answer at once

    def __init__(self) -> None:
        self.classes: list[str] = []

    def add_class(self, name: str) -> None:
        """One more thing that samples can be. Raises UsageError for what no file of labels can hold."""
        name = name.strip()
        if name in self.classes:
            raise UsageError(f"'{printable(name)}' is one of the classes already")
        if not name or len(name) > LONGEST or not name.isprintable():
            raise UsageError(f"a class has a name of 1 to {LONGEST} letters, and '{printable(name[:LONGEST])}' is none")
        if BETWEEN in name or name in NOTHING:
            means = f"{BETWEEN!r} parts several labels" if BETWEEN in name else "files of labels have it for no label"
            raise UsageError(f"a class cannot be called '{printable(name)}': {means}")
        self.classes.append(name)

    def text(self, said: Said) -> str:
        """The label that stands for an answer, as the file is to have it. Raises UsageError."""
        if not isinstance(said, str):
            raise UsageError("an answer is one class")
        self._refuse_unknown([said])
        return said

    def named(self, label: str) -> list[str]:
        """The classes that a label names."""
        return [label]

    def counts(self, labels: Iterable[str]) -> dict[str, int]:
        """How many labels name each class."""
        counts = Counter(name for label in labels for name in self.named(label))
        return {name: counts[name] for name in self.classes}

    def summary(self, labels: Sequence[str]) -> str:
        """What there is of labels, for people; nothing where there is nothing to tell."""
        return ", ".join(f"{printable(name)} {count:,}" for name, count in self.counts(labels).items())

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.classes:
                raise UsageError(f"'{printable(name)}' is none of the classes: add it first")


class Several(OneClass):
    """Any of the classes, or none.

    Each label has a `;`, `cat;` and `;` alone, too: so a file of nothing else tells what it is, whoever reads it.
    """

    task: Task = "several"

    def text(self, said: Said) -> str:
        names = [said] if isinstance(said, str) else said
        self._refuse_unknown(names)
        if not self.classes:
            raise UsageError("there are no classes yet of which a sample could have none: add one first")
        return several_text([name for name in self.classes if name in names], marked=True)

    def named(self, label: str) -> list[str]:
        return names_in(label)


class Number(OneClass):
    """A finite number."""

    task: Task = "number"
    in_one_stroke = False

    def add_class(self, name: str) -> None:
        raise UsageError("numbers have no classes")

    def text(self, said: Said) -> str:
        number = number_in(said) if isinstance(said, str) else None
        if number is None:
            shown = printable(said[:LONGEST]) if isinstance(said, str) else ""
            raise UsageError(f"{shown!r} is no finite number: write one as 3.5, -20 or 1e6")
        return label_text(number)

    def named(self, label: str) -> list[str]:
        return []

    def summary(self, labels: Sequence[str]) -> str:
        known = [number for label in labels if (number := number_in(label)) is not None]
        return f"{min(known):g} to {max(known):g}, {sum(known) / len(known):.6g} on average" if known else ""


def answers_of(task: Task) -> OneClass:
    """What may be answered."""
    ways: dict[Task, type[OneClass]] = {"classes": OneClass, "several": Several, "number": Number}
    return ways[task]()


def task_of(asked: str, classes: Sequence[str], held: Sequence[str], says: Task | None, shown: str) -> Task:
    """What is to be answered, by --task, or else by whatever of these fits first: a classifier, what the file holds.

    asked: the task, or auto; classes: those of --classes; held: the labels of the file that is called `shown`; says:
    the task of the classifier, if there is one. Raises UsageError for what contradicts itself, and DataError where the
    file holds labels of another sort.
    """
    if asked == "number" and classes:
        raise UsageError("--task number has no classes: leave --classes out, or say --task classes or several")
    ways: dict[str, list[Task]] = {"classes": ["classes"], "several": ["several"], "number": ["number"]}
    wanted = ways.get(asked) or [*([says] if says else []), looks(held), "classes"]
    able = [task for task in wanted if task != "number" or not classes]
    task = next((task for task in able if _fits(task, held, classes)), None)
    if task is None:
        flag = "--classes" if asked == "auto" else f"--task {asked}"
        example = max(held, key=lambda label: (label.count(BETWEEN), number_in(label) is None))
        told = f"{shown} holds {HELD[looks(held)]}, such as '{printable(example)}'"
        raise DataError(f"{told}, and {flag} asks for {HELD[able[-1]]}: name another --out, or leave {flag} out")
    if asked == "auto" and task != "classes":
        say(f"task     {HELD[task]}, as {shown if held else 'the classifier'} has them; --task says another")
    elif asked == "auto" and held and not classes and _fits("number", held, classes):
        say(f"note: the labels in {shown} are whole numbers, taken for classes; --task number takes their values")
    return task


def _fits(task: Task, held: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a file that holds these labels can go on with such answers."""
    if task == "several":
        return not held or looks(held) == "several"
    if task == "number":
        return all(number_in(label) is not None for label in held)
    return looks(held) == "classes" or (looks(held) == "number" and {*held} <= {*classes})
