"""What tests of several folders share, imported by full name: ``from support.chance import …``."""
