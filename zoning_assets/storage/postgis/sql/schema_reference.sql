-- The reference of the schema. Each query has a name and one sentence; sql_queries.py loads them.

-- name: columns
-- Every column of every table and view, with its comment.
SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), ''), a.attname, format_type(a.atttypid, a.atttypmod),
    col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'zoning'::regnamespace AND c.relkind IN ('r', 'v', 'p')
ORDER BY c.relname, a.attnum;
