from .bins import heavy_bins, quantile_groups
from .codec import Codec, Encoded
from .conditions import allowed_codes, codes_meeting, narrow_spreads, parse_conditions
from .examples import (
    END,
    Layout,
    decode_texts,
    encode_texts,
    from_examples,
    layout_of,
    modelled_texts,
    to_examples,
)
from .facts import CENSORED, FEW, ColumnFacts, Proposal, summarise
from .fit import accepts, check_columns
from .kinds.identifier import keys_at, where_keys
from .kinds.integer import key_form_of
from .kinds.table import KINDS, code_words, codec_of, draft_column, spell_edge
from .listed import ListedCodec
from .notes import HARDLY, EncodingNote, add_notes, code_dtype
from .numeric import NumericCodec
from .ruled import keeps_rules, read_values, renumber
from .written.columns import TableLike, as_table, is_instant, is_number, is_text
from .written.form import Form, arrow_type, as_spelled, in_form, read_numbers, stored_name
from .written.frames import Frame, like_frame, read_sheet, sheet_facts, to_pandas
from .written.parsing import (
    distinct,
    flatten,
    plain_values,
    readable,
    to_microseconds,
    to_numbers,
    to_texts,
    trim,
)

__all__ = [
    "CENSORED",
    "END",
    "FEW",
    "HARDLY",
    "KINDS",
    "Codec",
    "ColumnFacts",
    "Encoded",
    "EncodingNote",
    "Form",
    "Frame",
    "Layout",
    "ListedCodec",
    "NumericCodec",
    "Proposal",
    "TableLike",
    "accepts",
    "add_notes",
    "allowed_codes",
    "arrow_type",
    "as_spelled",
    "as_table",
    "check_columns",
    "code_dtype",
    "code_words",
    "codec_of",
    "codes_meeting",
    "decode_texts",
    "distinct",
    "draft_column",
    "encode_texts",
    "flatten",
    "from_examples",
    "heavy_bins",
    "in_form",
    "is_instant",
    "is_number",
    "is_text",
    "keeps_rules",
    "key_form_of",
    "keys_at",
    "layout_of",
    "like_frame",
    "modelled_texts",
    "narrow_spreads",
    "parse_conditions",
    "plain_values",
    "quantile_groups",
    "read_numbers",
    "read_sheet",
    "read_values",
    "readable",
    "renumber",
    "sheet_facts",
    "spell_edge",
    "stored_name",
    "summarise",
    "to_examples",
    "to_microseconds",
    "to_numbers",
    "to_pandas",
    "to_texts",
    "trim",
    "where_keys",
]
