"""Rows as tokens of a language model: control code, text, end, and padding up to one length.

What a row becomes depends on that row, the public schema and the checkpoint's tokenizer alone, and
every row becomes as many numbers. The control code is the row's attributes in words, which stand
before its text: ``kind: spam | region: north``, as in Yue et al. 2022, section 4. Names and words
are those of the public schema; numbers are spelled as their bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from silosynth.common.codec import code_words, decode_texts, encode_texts, layout_of, modelled_texts
from silosynth.common.errors import InvalidPlan
from silosynth.common.schema import CodedAttribute, Schema

SEPARATOR, BEFORE_TEXT = " | ", "\n"


def control_words(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return, for each attribute with codes, the words of each code: ``kind: spam``."""
    return {a.name: tuple(f"{a.name}: {word}" for word in _words(a)) for a in schema.coded}


def _words(attribute: CodedAttribute) -> tuple[str, ...]:
    """Return the words of an attribute's codes, as networks that were trained before know them."""
    words = code_words(attribute)
    plain = attribute.kind == "boolean" and attribute.spelled is None
    return ("False", "True", *words[2:]) if plain else words


IGNORED = -1
"""Stands where the next token is not learnt: in the control code and in the padding."""


class Tokenizer(Protocol):
    """What is needed of a checkpoint's tokenizer. ``start`` may be None, ``end`` may not."""

    start: int | None
    end: int

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, none of them a special one."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; special ones are left out."""


def encode_any(encode: Callable[[str], list[int]], text: str) -> list[int]:
    """Return the tokens of a row's text: none where the tokenizer fails on it.

    An error would tell of a row, without noise. A panic of its Rust code is no Exception.
    """
    try:
        return encode(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return []


class TextTokens:
    """Turn rows of one schema into tokens, and tokens into texts."""

    def __init__(self, tokenizer: Tokenizer, schema: Schema, *, tokens: int) -> None:
        """Take a tokenizer, and how many tokens of a text are learnt at most."""
        self._tokenizer = tokenizer
        self._layout = layout_of(schema)
        self._name, self._max_bytes = next(iter(modelled_texts(schema).items()))
        self.tokens = tokens
        words = control_words(schema)
        self._pieces = [
            [tokenizer.encode(w) for w in words[name]] for name in self._layout.attributes
        ]
        self._between = tokenizer.encode(SEPARATOR)
        self._before_text = tokenizer.encode(BEFORE_TEXT)
        self._start = [] if tokenizer.start is None else [tokenizer.start]

    @property
    def longest_prompt(self) -> int:
        """Return the number of tokens of the longest control code there can be."""
        pieces = sum(max(map(len, pieces)) for pieces in self._pieces)
        between = len(self._between) * (len(self._pieces) - 1)
        return len(self._start) + pieces + between + len(self._before_text)

    @property
    def length(self) -> int:
        """Return how many tokens every row becomes: control code, text and end."""
        return self.longest_prompt + self.tokens + 1

    def require_room(self, positions: int) -> None:
        """Raise InvalidPlan when rows are longer than the model looks back."""
        if self.length > positions:
            room = positions - self.longest_prompt - 1
            raise InvalidPlan(
                f"a row has up to {self.length} tokens, {self.tokens} of them of text; the "
                f"checkpoint reads {positions}",
                hint=f"learn at most {room} tokens of a text with --text-tokens"
                if room > 0
                else "the control code alone is too long: take attributes out of the schema",
            )

    def prompt(self, codes: np.ndarray) -> list[int]:
        """Return the control code of (attributes,) codes as tokens."""
        prompt = list(self._start)
        for number, (pieces, code) in enumerate(zip(self._pieces, codes.tolist(), strict=True)):
            prompt += (self._between if number else []) + pieces[code]
        return prompt + self._before_text

    def rows(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, length) int64 tokens, and the same with IGNORED where nothing is learnt.

        A text that is too long is cut, and then has no end to learn.

        Args: examples: (rows, positions) codes of the schema's layout.
        """
        free, (first, stop) = self._layout.free, self._layout.texts[0]
        inputs = np.full((len(examples), self.length), self._tokenizer.end, dtype=np.int64)
        targets = np.full((len(examples), self.length), IGNORED, dtype=np.int64)
        texts = decode_texts(examples[:, first:stop]).to_pylist()
        for number, (example, text) in enumerate(zip(examples, texts, strict=True)):
            prompt = self.prompt(example[:free])
            learnt = self._learnt(text)
            place = slice(len(prompt), len(prompt) + len(learnt))
            inputs[number, : len(prompt)] = prompt
            inputs[number, place] = targets[number, place] = learnt
        return inputs, targets

    def _learnt(self, text: str) -> list[int]:
        """Return the tokens of a text and the end, or as many as there is room for."""
        tokens = encode_any(self._tokenizer.encode, text)
        return (
            [*tokens, self._tokenizer.end] if len(tokens) <= self.tokens else tokens[: self.tokens]
        )

    def texts(self, drawn: Sequence[Sequence[int]]) -> np.ndarray:
        """Return (rows, max_bytes) uint16 codes of texts that were drawn as tokens."""
        spelled = pa.array([self._tokenizer.decode(t) for t in drawn], pa.large_string())
        return encode_texts(spelled, name=self._name, max_bytes=self._max_bytes)[0]
