from .book import RosterBook, says_roster

__all__ = ["RosterBook", "says_roster"]
