from .checkpoints import Checkpoints, plan_checkpoint
from .gradient import Gradients
from .round import train_round

__all__ = ["Checkpoints", "Gradients", "plan_checkpoint", "train_round"]
