"""The coordinator's page: its runs as they go, whom they wait for, and what came of them."""
