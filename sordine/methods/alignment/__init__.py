"""A space in which the suppressed classes lie side by side."""
