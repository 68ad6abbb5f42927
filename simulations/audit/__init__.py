"""What an attacker really learns from a plan's releases, by games with made-up people."""
