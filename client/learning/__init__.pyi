from .checkpoints import Checkpoints, needed_checkpoint, plan_checkpoint
from .gradient import Gradients
from .round import train_round

__all__ = ["Checkpoints", "Gradients", "needed_checkpoint", "plan_checkpoint", "train_round"]
