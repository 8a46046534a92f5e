"""The folder layouts of published data sets. One file a data set."""
