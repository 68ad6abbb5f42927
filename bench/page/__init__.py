"""How fast the pages answer, and what they hold while nobody looks."""
