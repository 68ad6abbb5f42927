from .columns import complete
from .words import even_words, row_words, word_of, words_at

__all__ = ["complete", "even_words", "row_words", "word_of", "words_at"]
