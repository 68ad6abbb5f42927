"""Tables of codes to marginals, compiled where a compiler is at hand."""
