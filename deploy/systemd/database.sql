-- The user of the services, and a database with PostGIS; an administrator runs it once: psql --file database.sql
\set ON_ERROR_STOP on
CREATE ROLE zoning_reader;
CREATE ROLE zoning_writer;
CREATE ROLE zoning LOGIN;
GRANT zoning_reader, zoning_writer TO zoning;
CREATE DATABASE zoning OWNER zoning TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
\connect zoning
CREATE EXTENSION postgis;
