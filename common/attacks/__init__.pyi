from .people import Known, refuse_shared_rows
from .together import Attacked, attack

__all__ = ["Attacked", "Known", "attack", "refuse_shared_rows"]
