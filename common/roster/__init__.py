"""A federation's roster: who takes part, its signed changes, requests to join, words to compare."""
