"""postgresql.conf and pg_hba.conf of a private cluster, with the reasons.

The machine meant is small: 2 cores, 4 GB, one user, bulk loads by COPY and merge, then reads through a GiST index.
"""

from collections.abc import Mapping

#: Only this machine, only with the password; there is no socket whose path could be too long or lie in a shared folder.
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",  # a pool of workers, Dagster's storage and the viewer; each costs little while idle
    "shared_buffers": "256MB",  # the indexes of a county; the rest is the kernel's cache
    "dynamic_shared_memory_type": "mmap",  # containers give /dev/shm 16 MB, on which parallel queries fail
    "work_mem": "32MB",  # the merge of a staging table hashes and sorts
    "maintenance_work_mem": "256MB",  # building a GiST index over a county in one go
    "max_wal_size": "4GB",  # a county is loaded between two checkpoints, not across ten
    "checkpoint_timeout": "15min",  # the same, by time; recovery after a crash stays under a minute
    "wal_compression": "on",  # full-page images of geometry pages shrink well; a small machine's disk is its limit
    "random_page_cost": "1.1",  # solid state: an index look-up is nearly as cheap as a scan, and should be chosen
    "jit": "off",  # compiling costs more than it saves here, and the private packages come without LLVM
    "timezone": "GMT",  # the one zone that needs no zone files, which small images lack
    "log_timezone": "GMT",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "cluster_name": "zoning",
}

#: For tests only: a crash of the machine may lose such a cluster. A kill -9 of the server may not, and tests do that:
#: so synchronous_commit stays on, which without fsync costs nothing.
UNSAFE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_preload_libraries": "postgis-3",  # tests connect thousands of times: 6 ms instead of 17 for the first query
}


def conf(port: int, *, fsync: bool) -> str:
    """The whole of postgresql.conf; it is written anew at each start."""
    chosen = {**SETTINGS, **({} if fsync else UNSAFE), "port": str(port)}
    return "# Written at each start by zoning-assets.\n" + "".join(
        f"{name} = '{value}'\n" for name, value in chosen.items()
    )
