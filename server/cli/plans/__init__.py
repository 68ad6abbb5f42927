"""What plan commands make and say, of one table and of several."""
