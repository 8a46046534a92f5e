"""What leaves the house: tables or media files, and their manifest."""
