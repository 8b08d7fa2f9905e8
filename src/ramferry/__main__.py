"""``python -m ramferry``."""

from ramferry.cli import main

if __name__ == "__main__":
    main()
