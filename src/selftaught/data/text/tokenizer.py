"""Words, and parts of words, as whole numbers: by byte pairs that are learnt from texts, or by somebody's tokenizer.

Both are tokenizers of Hugging Face's library, kept as its JSON and never as anything that would be run.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from selftaught.contracts.encoder import WORDS
from selftaught.data.sources.contents import content_of
from selftaught.system.errors import DataError, UsageError
from selftaught.system.regular import regular_bytes
from selftaught.system.text import printable

FILE = "tokenizer.json"
MARKS = ("[PADDING]", "[HIDDEN]", "[BEGIN]")  # the first numbers of a tokenizer of ours, see contracts/encoder.py
FEWEST, MOST = 1 << 10, 1 << 14  # words that are learnt where nobody says how many
LETTERS = 128  # of the texts, for each word that is learnt
LEARNT_FROM = 1 << 28  # characters at most, of texts that are evenly spread
OFTEN = 2  # times that a pair must be there to become one
LARGEST = 64 << 20  # bytes of a file
AT_ONCE = 1000  # texts, between looks at whether to stop


def usual_vocabulary(texts: Sequence[str]) -> int:
    """How many words are learnt from such texts: a power of two."""
    letters = sum(map(len, texts))
    return min(MOST, max(FEWEST, 1 << max(0, (letters // LETTERS).bit_length() - 1)))


def learnt(texts: Sequence[str], vocabulary: int) -> str:
    """Byte pairs of texts (Sennrich et al., 1508.07909, section 3.2, on bytes as in GPT-2) as a tokenizer's JSON.

    The same texts give the same tokenizer. Every text can be written with it, as all bytes are words.
    """
    library = _library()
    made = library.Tokenizer(library.models.BPE())
    made.normalizer = library.normalizers.NFC()
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=OFTEN,
        special_tokens=[*MARKS],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    step = 1 + sum(map(len, texts)) // LEARNT_FROM
    made.train_from_iterator(texts[::step], trainer)
    return str(made.to_str())


def read(name: str) -> str:
    """The JSON of a tokenizer that somebody names: a tokenizer.json, or a folder with one. Raises UsageError."""
    path = Path(name)
    path = path / FILE if path.is_dir() else path
    try:
        text = regular_bytes(path, LARGEST, links=True).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--tokenizer {printable(name)} cannot be read: {printable(reason)}") from None
    try:
        Tokenizer(text)
    except DataError as error:
        raise UsageError(f"--tokenizer {printable(name)} is no {FILE} of Hugging Face's tokenizers: {error}") from None
    return text


def digest_of(text: str) -> str:
    """Of a tokenizer's JSON."""
    return content_of(text.encode()).hex()


@lru_cache(maxsize=4)
def tokenizer(text: str) -> "Tokenizer":
    """The tokenizer of this JSON."""
    return Tokenizer(text)


class Tokenizer:
    """Texts to whole numbers and back. Those of a tokenizer that is not ours are moved up, behind our marks."""

    def __init__(self, text: str) -> None:
        """Raises DataError where the JSON is none of a tokenizer, UsageError without the library."""
        library = _library()
        try:
            self._held = library.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing more special
            raise DataError(printable((str(error) or type(error).__name__).splitlines()[0])) from None
        self._held.no_padding()
        self._held.no_truncation()
        self._held.encode_special_tokens = True  # a mark that somebody has written is a text like any other
        self._shift = 0 if [self._held.id_to_token(number) for number in range(WORDS)] == [*MARKS] else WORDS
        numbers = self._held.get_vocab(with_added_tokens=True).values()
        self.words = 1 + max(numbers, default=-1) + self._shift  # numbers that there may be
        if self.words <= WORDS:
            raise DataError("it knows no words")

    def encoded(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The numbers of each text."""
        for start in range(0, len(texts), AT_ONCE):
            for one in self._held.encode_batch_fast([*texts[start : start + AT_ONCE]], add_special_tokens=False):
                yield [number + self._shift for number in one.ids] if self._shift else one.ids

    def number(self, word: str) -> int | None:
        """The number that the tokenizer itself has for a word or mark; None where it knows none."""
        found: int | None = self._held.token_to_id(word)
        return found

    def decoded(self, numbers: Sequence[int]) -> str:
        """The text of numbers, without those that mean no word."""
        return str(self._held.decode([number - self._shift for number in numbers if number >= WORDS]))


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UsageError("texts need tokenizers: pip install 'selftaught[text]'") from None
    return tokenizers
