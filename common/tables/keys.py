"""Keys of rows by their numbers, the same in their own table and in what names them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Form, arrow_type, keys_at
from silosynth.common.generated import words_at
from silosynth.common.schema import KeyForm


def write_keys(
    key: KeyForm,
    numbers: np.ndarray,
    *,
    table: str,
    seed: int,
    form: Form,
    stored: str | None,
) -> pa.Array:
    """Return the keys of the rows with these numbers, which count from 0.

    Guarantees: rows have different keys, the same wherever they are written.

    Args:
        table: whose rows are named.
        stored: the Arrow type of the column that they are written to.
    """
    if key.pattern is not None:
        keys = words_at(key.pattern, seed=seed, column=f"{table}/key", numbers=numbers)
    elif (sequence := key.sequence) is not None:
        keys = pa.array(sequence[0] + numbers.astype(np.int64) * sequence[1])
    else:
        keys = keys_at(key.attribute, numbers)  # type: ignore[arg-type]  # no sequence: an identifier
    if form is Form.SPELLED:
        return keys.cast(pa.large_string())
    if stored == "dictionary":
        return keys.cast(pa.string()).dictionary_encode()
    if stored is not None:
        return keys.cast(arrow_type(stored), safe=False)
    return keys.cast(pa.string()) if pa.types.is_large_string(keys.type) else keys
