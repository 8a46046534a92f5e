"""`python -m sordine`: the command line where its script is not on the path."""

from sordine.cli import main

if __name__ == "__main__":
    main()
