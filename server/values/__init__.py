"""From noised trees over a number's values to pieces of mass, and to the codes of the model."""
