"""Provide a PostgreSQL server with PostGIS: a configured one, or a private one started with the means of this machine.

What belongs here: finding a server, starting and stopping it, its address. What does not: tables, migrations, queries.

    provider          the ways to a server, in order; the only module that knows all the others
    remote            a configured database, at ZONING_DATABASE_URL
    data_folder       the folders of a private cluster, and the user that its server runs as
    cluster_state     what is stored between starts: port, password, programs
    binaries          PostgreSQL installed on this machine, with PostGIS
    packages          PostgreSQL unpacked from the distribution's packages, without changing the system
    server            initdb, start, stop
    logins            further logins of a private cluster, and databases that they own
    processes         the PostgreSQL processes of a data folder
    cluster_settings  postgresql.conf, with reasons
    container         a container, if docker compose is available
"""

from zoning_assets.local_postgres.logins import login, own_database
from zoning_assets.local_postgres.provider import ensure, psql, remove, stop, url

__all__ = ["ensure", "login", "own_database", "psql", "remove", "stop", "url"]
