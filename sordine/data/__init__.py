"""Records, files and media: reading, writing, splitting, and data whose truth is known."""
