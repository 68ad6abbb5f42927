"""What a release costs, and what the costs add up to."""
