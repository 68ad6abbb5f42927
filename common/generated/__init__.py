"""Columns that nobody's rows are read for: names, mails, keys and dates of entry, made by row."""
