"""PostGIS: connection, schema, and the transactions that publish and undo."""
