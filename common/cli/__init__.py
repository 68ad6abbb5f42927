"""The command line that the installed parts compose."""
