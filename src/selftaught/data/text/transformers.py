"""Models of Hugging Face's transformers as encoders of texts: from a folder on the disk, by the library's own code.

Nothing is fetched, and code that a folder brings along is never run. Words keep the numbers of our own (the folder's, 3
further on), so methods know of no difference; where the network's words are looked up they are turned back.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selftaught.contracts.encoder import PADDING, WORDS, Origin, Tokens
from selftaught.data.text import tokenizer
from selftaught.data.text.preparation import Preparation
from selftaught.data.text.sentences import Pooling, Sentences
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.reading import json_in
from selftaught.system.text import printable

NAME = "transformers"
CONFIG = "config.json"
AFTER_PADDING = ("roberta", "camembert", "xlm-roberta", "mpnet", "longformer")  # whose places are counted from there
# What the three marks of ours are called there, in order of preference.
MARKS = (("pad_token", "unk_token"), ("mask_token", "unk_token"), ("cls_token", "bos_token", "unk_token"))


def begun(source: str) -> Part | None:
    """The encoder that a folder of transformers' holds; None where it is none. Raises UsageError."""
    folder = Path(source)
    with suppress(OSError, ValueError):
        config = json_in(folder / CONFIG, dict[str, Any], links=True)
        if isinstance(config.get("model_type"), str):
            if not (folder / tokenizer.FILE).is_file():
                way = f"save a fast tokenizer there, which writes {tokenizer.FILE}"
                raise UsageError(f"--init {printable(source)} does not say which words it knows: {way}")
            return Part(name=NAME, options={"config": json.dumps(config, sort_keys=True), "marks": _marks(folder)})
    return None


def _marks(folder: Path) -> list[int]:
    """The folder's numbers of what pads, hides and begins a text."""
    named: dict[str, Any] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        with suppress(OSError, ValueError):
            named |= json_in(folder / file, dict[str, Any], links=True)
    number = tokenizer.tokenizer(tokenizer.read(str(folder))).number
    found = []
    for names in MARKS:
        texts = (named.get(name) for name in names)
        known = [text["content"] if isinstance(text, dict) else text for text in texts]
        found.append(next((at for text in known if isinstance(text, str) and (at := number(text)) is not None), 0))
    return found


class HuggingFace(Sentences):
    """A model that reads a text as a whole, with a token a word."""

    def __init__(self, preparation: Preparation, config: str, marks: Sequence[int], pooling: Pooling) -> None:
        super().__init__()
        self.net, self.pooling = _built(config), pooling
        told: Any = self.net.config
        self.dim, self.depth = told.hidden_size, told.num_hidden_layers
        words = self.net.get_input_embeddings().weight.shape[0]
        if preparation.tokenizer:  # and no guess
            _refuse_unfit(preparation, told, words)
        own = torch.cat([torch.tensor([*marks]).clamp(max=words - 1), torch.arange(words)])
        self.register_buffer("theirs", own, persistent=False)  # by our number
        self.origin = Origin("selftaught", NAME)

    def freeze_patches(self) -> None:
        self.net.get_input_embeddings().requires_grad_(False)

    def embedded(self, x: Tensor, keep: Tensor | None) -> Tensor:
        if keep is not None:
            raise UsageError(f"encoders of {NAME} are shown whole texts, and this method hides words from its encoder")
        theirs: Any = self.theirs
        embedded: Tensor = self.net.get_input_embeddings()(theirs[x[:, 0]])
        return embedded

    def tokens(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
        hole: Tensor | None = None,
        attend: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> Tokens:
        embedded, there = self.embedded(x, keep), x[:, 0] != PADDING
        if hidden is not None and hole is not None:
            embedded = torch.where(hidden[..., None], hole.to(embedded.dtype), embedded)
        seen = self.sight(there, attend)
        made = self.net(inputs_embeds=embedded, attention_mask=seen, output_hidden_states=bool(layers))
        outputs = tuple(made.hidden_states[1 + number] for number in layers)
        return Tokens(made.last_hidden_state, made.last_hidden_state[:, :0], outputs, there)


def _refuse_unfit(preparation: Preparation, told: Any, words: int) -> None:
    """Raise UsageError where a network has not the words or places of samples that are so prepared."""
    most = getattr(told, "max_position_embeddings", None) or preparation.length
    most -= 1 + (told.pad_token_id or 0) if told.model_type in AFTER_PADDING else 0
    if preparation.length > most:
        raise UsageError(f"the model sees {most - 1:,} words of a text at most: say --context {most - 1}")
    if (known := preparation.words - WORDS) > words:
        raise UsageError(f"the model knows {words:,} words, and the tokenizer {known:,}: they belong to two models")


def _built(config: str) -> nn.Module:
    """The network of a config.json, with fresh weights and without what is for a task."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise UsageError("models of transformers need it: pip install 'selftaught[text]'") from None
    try:
        told = json.loads(config)
        made = AutoConfig.for_model(**told)
        net: Any = AutoModel.from_config(made, attn_implementation="sdpa", trust_remote_code=False)
    except Exception as error:  # the library raises what it likes
        reason = printable((str(error) or type(error).__name__).splitlines()[0])
        raise UsageError(f"no encoder can be made of this {CONFIG} of transformers: {reason}") from None
    if made.is_encoder_decoder or getattr(made, "hidden_size", None) is None:
        raise UsageError(f"a {made.model_type} of transformers is no encoder of texts alone, such as BERT and its kin")
    if getattr(net, "pooler", None) is not None:
        net.pooler = None  # made for a question that nobody asks here
    made_of: nn.Module = net.float()
    return made_of
