"""Networks and their training, checkpoints, and the fitted modifier."""
