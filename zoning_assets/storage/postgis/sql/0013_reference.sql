-- PostGIS's view geometry_columns reads SRIDs from CHECK constraints and fails on `= ANY (ARRAY[...])`, so that QGIS and
-- ogr2ogr print errors. The same rule is written without an equals sign.
DO $$ DECLARE each record; BEGIN
    FOR each IN
        SELECT conrelid::regclass::text AS relation, quote_ident(conname) AS name FROM pg_constraint
        WHERE connamespace = 'zoning'::regnamespace AND contype = 'c'
            AND strpos(pg_get_constraintdef(oid), 'st_srid(geom) = ANY (ARRAY[4326, 3857])') > 0
    LOOP
        EXECUTE 'ALTER TABLE ' || each.relation || ' DROP CONSTRAINT ' || each.name || ', ADD CONSTRAINT ' || each.name
            || ' CHECK (NOT (st_srid(geom) <> 4326 AND st_srid(geom) <> 3857))';
    END LOOP;
END $$;

-- `zoning_code` is the answer of the map; what the parcel layer itself states is `parcel_layer_code`. `id` is for programs
-- that need one column as a key.
CREATE INDEX code_canonical ON zoning.code (code, jurisdiction);
DROP VIEW zoning.zoned_parcel;
CREATE VIEW zoning.zoned_parcel AS
SELECT hashtextextended(p.jurisdiction || '/' || p.parcel_id, 0) AS id, p.jurisdiction, p.parcel_id,
    z.code AS zoning_code, z.codes AS zoning_codes, (
        SELECT max(c.zone_type) FROM zoning.code c WHERE c.jurisdiction = p.jurisdiction AND c.code = z.code
    ) AS zone_type,
    z.split_zoned, z.fraction AS zoned_fraction, z.overlays, z.conditions, z.puds,
    p.zoning_code AS parcel_layer_code, p.zoning_code = z.code AS agrees,
    p.address, p.land_use, p.area_m2, p.last_changed, p.geom
FROM zoning.parcel p LEFT JOIN LATERAL (
    SELECT min(s.code) FILTER (WHERE s.facet = 'base' AND s.rank = 1) AS code,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'base' AND s.listed) AS codes,
        count(*) FILTER (WHERE s.facet = 'base' AND s.listed) > 1 AS split_zoned,
        least(sum(s.fraction) FILTER (WHERE s.facet = 'base'), 1) AS fraction,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'overlay') AS overlays,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'condition') AS conditions,
        array_agg(s.code ORDER BY s.rank) FILTER (WHERE s.facet = 'pud') AS puds
    FROM zoning.parcel_zoning s WHERE s.jurisdiction = p.jurisdiction AND s.parcel_id = p.parcel_id
) z ON true;
