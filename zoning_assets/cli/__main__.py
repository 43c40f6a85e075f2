"""Entry point of `python -m zoning_assets.cli`, which the script `zoning` runs."""

from zoning_assets.cli import main

if __name__ == "__main__":
    main()
