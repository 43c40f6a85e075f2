-- Programs of two versions may work at once: the schema names the oldest version of the program that still fits it. A
-- program of before this migration finds a newer version than it knows, and stops with one line.
ALTER TABLE zoning.schema_version ADD COLUMN compatible_from text;

-- By default autovacuum waits until a fifth of a table is dead rows: of 160 million parcels 13 GB. The threshold keeps it from
-- working on a small table after each harvest.
ALTER TABLE zoning.parcel SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);
ALTER TABLE zoning.parcel_zoning SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);
