from .discrete_gaussian import BitSource, SystemBits, check_noise, draw_noise
from .share import NoiseShare, noise_share

__all__ = ["BitSource", "NoiseShare", "SystemBits", "check_noise", "draw_noise", "noise_share"]
