from .draw import BitSource, NoiseShare, SystemBits, check_noise, draw_noise, noise_share

__all__ = ["BitSource", "NoiseShare", "SystemBits", "check_noise", "draw_noise", "noise_share"]
