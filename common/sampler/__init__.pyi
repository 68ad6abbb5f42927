from .autoregressive import AutoregressiveSampler
from .cliques import clique_shares, code_shares, is_joined
from .condition import condition_on, probability_of, probability_within
from .conditional import (
    COMPONENT,
    SHARE_BITS,
    WHOLE,
    CliqueMarginal,
    Conditional,
    check_within,
    shares,
    shares_of_groups,
    shares_within,
)
from .mixture import Mixture, NeuralSampler, TableSampler
from .network import Layer, Network
from .network_draw import condition_cells, draw_examples, load_network
from .rows_file import ending_of, form_of_file, write_batches, write_rows
from .sampler import (
    DrawsRows,
    Sampler,
    build_sampler,
    check_statements,
    coded_schema,
    describe_sampler,
    draw_batches,
    draw_codes,
)
from .stored.archive import pack, unpack
from .stored.file import (
    AnySampler,
    dump_sampler,
    load_sampler,
    npy_header,
    parse_sampler,
    read_archive,
    save_sampler,
)
from .stored.manifest import Sums, check_sums, dump_json, parse_json, parse_manifest, sums_of

__all__ = [
    "COMPONENT",
    "SHARE_BITS",
    "WHOLE",
    "AnySampler",
    "AutoregressiveSampler",
    "CliqueMarginal",
    "Conditional",
    "DrawsRows",
    "Layer",
    "Mixture",
    "Network",
    "NeuralSampler",
    "Sampler",
    "Sums",
    "TableSampler",
    "build_sampler",
    "check_statements",
    "check_sums",
    "check_within",
    "clique_shares",
    "code_shares",
    "coded_schema",
    "condition_cells",
    "condition_on",
    "describe_sampler",
    "draw_batches",
    "draw_codes",
    "draw_examples",
    "dump_json",
    "dump_sampler",
    "ending_of",
    "form_of_file",
    "is_joined",
    "load_network",
    "load_sampler",
    "npy_header",
    "pack",
    "parse_json",
    "parse_manifest",
    "parse_sampler",
    "probability_of",
    "probability_within",
    "read_archive",
    "save_sampler",
    "shares",
    "shares_of_groups",
    "shares_within",
    "sums_of",
    "unpack",
    "write_batches",
    "write_rows",
]
