"""How the columns of a table are stored and written: taken as they come, put out the same way."""
