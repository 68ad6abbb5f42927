"""Every use of what Flower does not promise, in one room: a new version is looked at here."""
