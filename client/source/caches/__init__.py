"""What a gateway keeps of its rows between requests, and for how long."""
