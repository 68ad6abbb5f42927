"""An embedding of texts by a local folder: the sum of its tokens' vectors, as whole numbers.

The folder is one as ``save_pretrained`` writes it, of a language model or of token vectors alone
(model2vec). Of its weights one table counts, a vector for each token. Sums of floats differ between
machines, and so would votes; so each number of the table is first brought to a whole one, which one
division and one rounding of IEEE 754 do alike everywhere, and all that follows is integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from silosynth.common.codec import END
from silosynth.common.errors import InvalidCheckpoint
from silosynth.common.generator.checkpoint_files import (
    TOKENIZER,
    WEIGHTS,
    checkpoint_files,
    require_digest,
)
from silosynth.common.generator.tokens import encode_any
from silosynth.common.generator.voting.nearest import nearest_to, to_units

_GRID, _MOST_TOKENS, _MOST_NUMBERS = 2047, 2**12, 2**13
"""The largest number of a table, of which so many are summed, so that lengths stay below 2^30."""

_TABLES = ("embeddings", "embed_tokens.weight", "wte.weight", "word_embeddings.weight")
_AT_HAND, _AT_ONCE = 2, 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """A tokenizer and (tokens, numbers) int16, the vector of each of its tokens."""

    tokenizer: Tokenizer
    vectors: np.ndarray

    def nearest(self, texts: np.ndarray, candidates: Sequence[str]) -> np.ndarray:
        """Return (rows,) int64: which candidate each text is nearest to, -1 where to none.

        Guarantees: what a text is nearest to depends on that text and the candidates alone, and is
        the same on every machine with the same folder and the same ``tokenizers``.

        Args: texts: (rows, max_bytes) codes of texts, each ended by END.
        """
        units = to_units(self._sums(candidates))
        found = np.empty(len(texts), dtype=np.int64)
        for start in range(0, len(texts), _AT_ONCE):
            read = [_text(row) for row in texts[start : start + _AT_ONCE]]
            found[start : start + _AT_ONCE] = nearest_to(self._sums(read), units)
        return found

    def _sums(self, texts: Sequence[str]) -> np.ndarray:
        """Return (texts, numbers) int64, the sum of the vectors of each one's tokens."""
        sums = np.zeros((len(texts), self.vectors.shape[1]), dtype=np.int64)
        for place, text in enumerate(texts):
            tokens = encode_any(self._encode, text)[:_MOST_TOKENS]
            sums[place] = self.vectors[tokens].sum(axis=0, dtype=np.int64)
        return sums

    def _encode(self, text: str) -> list[int]:
        """Return the tokens of a text; one that the vocabulary lacks may be an error."""
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return tokens


@lru_cache(maxsize=_AT_HAND)
def open_words(folder: Path, digest: str) -> Words:
    """Return the words of the folder of a digest; kept in memory, once a process.

    Raises InvalidCheckpoint where the folder is another one, or has no vector for each token.
    """
    require_digest(folder, digest)
    files = checkpoint_files(folder)
    try:
        tokenizer = Tokenizer.from_file(str(files[TOKENIZER]))
    except Exception as err:
        # The library has no error of its own.
        raise InvalidCheckpoint(f"{folder}: {TOKENIZER} is none that tokenizers can read") from err
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if getattr(tokenizer.model, "dropout", None) is not None:
        tokenizer.model.dropout = None  # by which a text is split now so, now otherwise
    known = max(tokenizer.get_vocab().values(), default=0) + 1
    return Words(tokenizer=tokenizer, vectors=_vectors(files, folder, tokens=known))


def _vectors(files: dict[str, Path], folder: Path, *, tokens: int) -> np.ndarray:
    """Return (tokens, numbers) int16, the one table of token vectors, as whole numbers.

    No other weights are read: those of a language model may be many times as large.
    """
    found = []
    for name, path in files.items():
        if name.endswith(WEIGHTS):
            try:
                with safe_open(path, framework="numpy") as weights:
                    names = filter(_is_table, weights.keys())
                    tables = [weights.get_tensor(name) for name in names]
            except (SafetensorError, AttributeError, TypeError, OSError, ValueError) as err:
                raise InvalidCheckpoint(
                    f"{folder}: {name} holds numbers that cannot be read here",
                    hint="save it again in single precision: model.float().save_pretrained(...)",
                ) from err
            found += [t for t in tables if t.ndim == 2]
    if len(found) != 1 or len(found[0]) < tokens or not 1 <= found[0].shape[1] <= _MOST_NUMBERS:
        raise InvalidCheckpoint(
            f"{folder}: has no one table with a vector for each of its {tokens} tokens",
            hint=f"its weights have to hold one that is named {', '.join(_TABLES)}",
        )
    (table,) = found
    largest = float(np.maximum(float(table.max()), -float(table.min())))
    if not 0 < largest < np.inf:
        raise InvalidCheckpoint(f"{folder}: its token vectors are no finite numbers, or all nought")
    whole = np.empty(table.shape, dtype=np.int16)
    for start in range(0, len(table), _AT_ONCE):
        part = table[start : start + _AT_ONCE].astype(np.float64)
        whole[start : start + _AT_ONCE] = np.rint(part / largest * _GRID)
    return whole


def _is_table(name: str) -> bool:
    """Return whether a tensor of this name has a vector for each token."""
    return name.endswith(_TABLES)


def _text(codes: np.ndarray) -> str:
    """Return a text of (max_bytes,) codes; bytes that are cut in the middle of one are marked."""
    ended = np.flatnonzero(codes == END)
    stop = int(ended[0]) if len(ended) else len(codes)
    return codes[:stop].astype(np.uint8).tobytes().decode("utf-8", "replace")
