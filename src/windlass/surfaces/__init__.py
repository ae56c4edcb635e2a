"""Where people and programs meet Windlass: the command line."""
