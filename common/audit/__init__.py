"""A ledger's entries as an auditor reads and replays them."""
