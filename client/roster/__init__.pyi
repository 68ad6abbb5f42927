from .book import RosterBook, rosters_of, says_roster

__all__ = ["RosterBook", "rosters_of", "says_roster"]
