"""An encoder that is trained on the folder itself."""
