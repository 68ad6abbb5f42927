from .learners import (
    Explain,
    Learnt,
    area,
    average_precision,
    explained,
    features,
    learn,
    membership_scores,
    one_thread,
    precision_at_rate,
    tell_apart,
)

__all__ = [
    "Explain",
    "Learnt",
    "area",
    "average_precision",
    "explained",
    "features",
    "learn",
    "membership_scores",
    "one_thread",
    "precision_at_rate",
    "tell_apart",
]
