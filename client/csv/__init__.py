"""Text files with delimiters: how they are written, and their records, whatever those hold."""
