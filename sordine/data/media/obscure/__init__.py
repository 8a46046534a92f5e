"""Obscure raw media without training: baselines to compare with a method (MaSS, tables 5 and 6; section D)."""
