from .learners import (
    area,
    average_precision,
    explained,
    features,
    importance,
    membership_scores,
    one_thread,
    precision_at_rate,
    predict_classes,
    predict_numbers,
    tell_apart,
)

__all__ = [
    "area",
    "average_precision",
    "explained",
    "features",
    "importance",
    "membership_scores",
    "one_thread",
    "precision_at_rate",
    "predict_classes",
    "predict_numbers",
    "tell_apart",
]
