"""The graphical model: junction tree, potentials, and their fit to measurements."""
