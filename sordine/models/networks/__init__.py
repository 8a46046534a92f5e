"""Network architectures that several packages use."""
