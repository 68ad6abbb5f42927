"""Rules between columns, as one line of text each: read, printed, checked, and told of rows."""
