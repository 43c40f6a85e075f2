"""The HTTP API and the map: OGC API Features, vector tiles, JSON; read-only but for reviews."""
