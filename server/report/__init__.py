"""The facts of a report that a federation can give: from what its silos released."""
