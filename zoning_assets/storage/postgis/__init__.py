"""PostGIS: connections, the schema, and the transactions that publish, roll back and remove."""
