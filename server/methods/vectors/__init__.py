"""Methods that sum one public vector of each row: random features, and projections."""
