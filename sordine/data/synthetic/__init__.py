"""Generated data whose truth is known."""
