from .draw import BitSource, NoiseShare, SystemBits, add_noise, check_noise, noise_share

__all__ = [
    "BitSource",
    "NoiseShare",
    "SystemBits",
    "add_noise",
    "check_noise",
    "noise_share",
]
