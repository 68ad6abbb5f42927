"""One client's masked vector by Flower's SecAgg+, its own code on the same numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord
from flwr.client.mod.secure_aggregation.secaggplus_mod import (
    SecAggPlusState,
    _collect_masked_vectors,
)
from flwr.common import ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    encrypt,
    generate_shared_key,
)
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
)
from flwr.supercore.primitives.asymmetric import (
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

MODULUS = 1 << 32
TARGET = 1 << 22
CLIP = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of a client and of the coordinator, and bytes that the client sends."""

    silo_seconds: float
    coordinator_seconds: float
    silo_bytes: int


def measure_secagg(vector: np.ndarray, *, silos: int) -> Measured:
    """Mask (cells,) float64 for a complete graph of ``silos`` clients; sum and unmask.

    The coordinator's time is that of removing every client's private mask and adding up; the
    reconstruction of shares is left out.
    """
    state, configs = _prepare(silos)
    parameters = ndarrays_to_parameters([vector])
    start = time.process_time()
    sent = _collect_masked_vectors(state, configs, 1, parameters)[Key.MASKED_PARAMETERS]
    silo_seconds = time.process_time() - start
    masked = np.zeros(len(vector), dtype=np.int64)
    start = time.process_time()
    total = np.zeros_like(masked)
    for seed in range(silos):
        total += masked
        total -= pseudo_rand_gen(seed.to_bytes(32, "little"), MODULUS, [vector.shape])[0]
    total %= MODULUS
    return Measured(
        silo_seconds=silo_seconds,
        coordinator_seconds=time.process_time() - start,
        silo_bytes=sum(len(part) for part in sent),  # type: ignore[arg-type]  # as loose as a test may be
    )


def _prepare(silos: int) -> tuple[SecAggPlusState, ConfigRecord]:
    """Return the state of client 0 after the rounds of keys and shares."""
    own_private, _ = generate_key_pairs()
    state = SecAggPlusState()
    state.nid, state.threshold = 0, 2
    state.rd_seed, state.sk1 = bytes(range(32)), private_key_to_bytes(own_private)
    state.mod_range, state.target_range, state.clipping_range = MODULUS, TARGET, CLIP
    state.max_weight = 1.0
    state.rd_seed_share_dict, state.sk1_share_dict = {}, {}
    state.ss2_dict, state.public_keys_dict = {}, {}
    ciphertexts = []
    for peer in range(1, silos):
        _, public = generate_key_pairs()
        shared = generate_shared_key(own_private, public)
        state.ss2_dict[peer] = shared
        state.public_keys_dict[peer] = (public_key_to_bytes(public), b"")
        plain = share_keys_plaintext_concat(peer, 0, b"share", b"share")
        ciphertexts.append(encrypt(shared, plain))
    configs = ConfigRecord(
        {Key.CIPHERTEXT_LIST: ciphertexts, Key.SOURCE_LIST: list(range(1, silos))}
    )
    return state, configs
