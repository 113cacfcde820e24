"""Run the command line as ``python -m infrastructure.cli``."""

from infrastructure.cli import main

if __name__ == "__main__":
    main()
