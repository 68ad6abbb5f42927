from .counters import Counters, norm_bound
from .estimates import Distance, Evaluation, Number, evaluate_release, judge_other, split
from .inputs import Inputs, drawn_pairs, inputs_digest, vector_cells, work_out

__all__ = [
    "Counters",
    "Distance",
    "Evaluation",
    "Inputs",
    "Number",
    "drawn_pairs",
    "evaluate_release",
    "inputs_digest",
    "judge_other",
    "norm_bound",
    "split",
    "vector_cells",
    "work_out",
]
