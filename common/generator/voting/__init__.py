"""Votes for candidates: what travels, and what is near of texts, of words and of pictures."""
