from .autoregressive import AutoregressiveSampler
from .code_by_code import condition_cells, draw_examples, load_network
from .condition import condition_on, probability_of
from .conditional import WHOLE, CliqueMarginal, shares, shares_within
from .mixture import Mixture, NeuralSampler
from .network import Layer, Network
from .rows_file import form_of_file, write_batches, write_rows
from .sampler import (
    DrawsRows,
    Sampler,
    build_sampler,
    coded_schema,
    describe_sampler,
    draw_batches,
    draw_codes,
)
from .stored.file import AnySampler, dump_sampler, load_sampler, parse_sampler, save_sampler

__all__ = [
    "WHOLE",
    "AnySampler",
    "AutoregressiveSampler",
    "CliqueMarginal",
    "DrawsRows",
    "Layer",
    "Mixture",
    "Network",
    "NeuralSampler",
    "Sampler",
    "build_sampler",
    "coded_schema",
    "condition_cells",
    "condition_on",
    "describe_sampler",
    "draw_batches",
    "draw_codes",
    "draw_examples",
    "dump_sampler",
    "form_of_file",
    "load_network",
    "load_sampler",
    "parse_sampler",
    "probability_of",
    "save_sampler",
    "shares",
    "shares_within",
    "write_batches",
    "write_rows",
]
