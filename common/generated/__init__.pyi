from .by_row import row_words, word_of
from .columns import complete
from .words import words_at

__all__ = ["complete", "row_words", "word_of", "words_at"]
