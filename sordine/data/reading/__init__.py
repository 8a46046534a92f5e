"""Open table files and data frames of every known format as Arrow columns of plain types, in blocks."""
