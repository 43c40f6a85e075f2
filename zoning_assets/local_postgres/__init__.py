"""A PostgreSQL with PostGIS, from whatever this machine offers.

What belongs here: finding a server, bringing one up, stopping it, its address.
What does not: tables, migrations, queries.

    ladder      the rungs in order: the only module that knows all the others
    remote      a database somebody else runs, at ZONING_DATABASE_URL
    site        where a cluster of ours lies, and as whom it runs
    state       what is remembered between starts: port, password, binaries
    binaries    PostgreSQL installed on this machine, with PostGIS
    packages    PostgreSQL unpacked from the distribution's own packages, changing nothing of the system
    server      initdb, start, stop
    logins      ways in for those who are not the owner, and a database that one of them owns
    processes   who is alive in a data folder
    settings    postgresql.conf, with reasons
    engine      a container, where docker compose answers
"""

from zoning_assets.local_postgres.logins import login, own_database
from zoning_assets.local_postgres.provider import ensure, psql, remove, stop, url

__all__ = ["ensure", "login", "own_database", "psql", "remove", "stop", "url"]
