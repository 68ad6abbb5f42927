"""What the silos of one process share, in simulations alone: bytes read once, ledgers in memory."""
