"""Numbers from arrays: accuracy, leakage, information, distortion, picture quality."""
