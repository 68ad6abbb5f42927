"""What the common commands do where there are several tables."""
