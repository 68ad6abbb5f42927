"""How a silo's own table is brought to the schema's columns, words and units."""
