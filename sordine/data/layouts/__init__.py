"""The folder layouts of published data sets, one file a data set; `registry` lists them."""
