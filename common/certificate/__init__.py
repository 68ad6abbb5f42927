"""What a run promises about one person, worked out and said in plain words."""
