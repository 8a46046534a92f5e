"""Methods that fit a modifier. One file or folder a method."""
