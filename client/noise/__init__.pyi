from .discrete_gaussian import BitSource, SystemBits, check_sigma2
from .share import NoiseShare, noise_share

__all__ = ["BitSource", "NoiseShare", "SystemBits", "check_sigma2", "noise_share"]
