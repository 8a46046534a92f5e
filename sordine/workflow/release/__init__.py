"""The release: tables or media files that may leave, with their manifest."""
