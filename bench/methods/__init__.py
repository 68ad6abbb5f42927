"""Every method on tables of many widths and kinds, and whether plan new takes the nearest."""
