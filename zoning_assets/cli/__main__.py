"""`python -m zoning_assets.cli`, as the script `zoning` starts it."""

from zoning_assets.cli import main

if __name__ == "__main__":
    main()
