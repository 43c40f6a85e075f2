-- Programs of two versions may work at once: the schema names the oldest version of the program that still fits it. A
-- program of before this migration finds a newer version than it knows, and stops with one line.
ALTER TABLE zoning.schema_version ADD COLUMN compatible_from text;
