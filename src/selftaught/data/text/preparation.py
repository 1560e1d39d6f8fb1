"""How a text becomes network input: the numbers of its words, as many as the network sees."""

from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from selftaught.contracts.encoder import WORDS
from selftaught.data.text import tokenizer
from selftaught.data.text.texts import THINGS
from selftaught.system.gained import Gained

USUAL = 128  # words of a text that are seen where nobody says how many, or fewer where texts are shorter
SHORTEST = 8
LARGEST = 1 << 26  # characters of a tokenizer


class Preparation(Gained):
    """The words that an encoder knows, and how many of a text it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    modality: ClassVar[str] = "text"
    GAINED: ClassVar[tuple[str, ...]] = ("label",)
    learnt: ClassVar[bool] = True  # from data: another version of the library might learn another tokenizer

    words: Annotated[int, Field(gt=WORDS, le=1 << 22)]  # numbers in the vocabulary, those that are no words among them
    length: Annotated[int, Field(gt=1, le=1 << 13)]  # words, the mark where a text begins among them
    tokenizer: Annotated[str, Field(max_length=LARGEST)]  # the JSON of Hugging Face's tokenizers
    digest: str = ""  # of that
    column: str | None = None  # that the texts stood in
    label: str | None = None  # that was named as the one of labels; several by commas

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.tokenizer and tokenizer.digest_of(self.tokenizer) != self.digest:
            raise ValueError("its tokenizer is another one than its digest says")
        return self

    @classmethod
    def of(cls, held: str, longest: int, context: int | None, column: str | None, label: str | None = None) -> Self:
        """By the JSON of a tokenizer, and the words of the longest text."""
        length = 1 + min(context or USUAL, max(longest, SHORTEST))
        words = tokenizer.tokenizer(held).words
        digest = tokenizer.digest_of(held)
        return cls(words=words, length=length, tokenizer=held, digest=digest, column=column, label=label)

    @property
    def channels(self) -> int:
        return 1

    @property
    def size(self) -> tuple[int]:
        return (self.length,)

    @property
    def shape(self) -> tuple[int, int]:
        return (1, self.length)

    # Whole numbers that nothing is reckoned with.
    @property
    def mean(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def std(self) -> tuple[float, ...]:
        return (1.0,)

    def in_words(self) -> str:
        """For people."""
        return f"of up to {self.length - 1:,} words, out of {self.words - WORDS:,}"

    def recipe(self) -> str:
        """What to do to a text, for people."""
        made = tokenizer.MARKS
        moved = "" if self.tokenizer.find(f'"{made[0]}"') >= 0 else f" plus {WORDS}"
        return (
            f"Takes {THINGS} {self.in_words()}, as whole numbers of {self.shape}: 2, which says where a text begins, "
            f"the numbers that `{tokenizer.FILE}` gives its words{moved}, and 0 behind its end."
        )
