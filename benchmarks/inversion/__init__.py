"""The inversion paper's tables and figures, on stand-ins."""
