from .columns import complete
from .words import row_words, word_of, words_at

__all__ = ["complete", "row_words", "word_of", "words_at"]
