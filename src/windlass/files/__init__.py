"""The user's own files and folders: scanned, read, put in place. Loaded only by commands that need them."""
