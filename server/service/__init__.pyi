from .processes import take_up
from .queue import check_priority, submit
from .service import Service, serving_alone

__all__ = ["Service", "check_priority", "serving_alone", "submit", "take_up"]
