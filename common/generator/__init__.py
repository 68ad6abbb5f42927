"""Neural networks that describe rows: their shapes, tokens, features and checkpoints."""
