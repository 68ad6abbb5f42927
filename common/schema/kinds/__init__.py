"""The kinds of attribute: what a column may hold, in which form, and what it shares."""
