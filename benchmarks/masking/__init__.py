"""The masking paper's tables and figures on stand-ins: `python -m benchmarks.masking`."""
