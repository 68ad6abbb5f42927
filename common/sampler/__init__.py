"""The artifact that draws synthetic rows: data only, never code."""
