"""What source types share that ask for a layer page by page."""
