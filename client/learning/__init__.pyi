from .checkpoints import Checkpoints, plan_checkpoint
from .round import train_round

__all__ = ["Checkpoints", "plan_checkpoint", "train_round"]
