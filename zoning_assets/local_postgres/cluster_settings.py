"""postgresql.conf and pg_hba.conf of a private cluster, with the reasons.

Written for a small machine: 2 cores, 4 GB, one user, bulk loads with COPY and merge, then reads through a GiST index.
"""

from collections.abc import Mapping

#: Access from this machine only, with the password. No socket: its path could be too long, or in a shared folder.
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
    "max_wal_size": "4GB",  # one checkpoint instead of ten while a county is loaded
    "checkpoint_timeout": "15min",  # for the same reason; recovery after a crash stays under a minute
    "wal_compression": "on",  # full-page images of geometry compress well, and the disk is the limit
    "random_page_cost": "1.1",  # on solid-state disks an index look-up is nearly as cheap as a scan
    "jit": "off",  # compiling costs more than it saves here, and the unpacked packages have no LLVM
    "timezone": "GMT",  # needs no time zone files, which small images lack
    "log_timezone": "GMT",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "cluster_name": "zoning",
}

#: For tests only: the data may be lost if the machine crashes. They survive a kill -9 of the server, which tests use:
#: synchronous_commit stays on, and without fsync it costs nothing.
UNSAFE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_preload_libraries": "postgis-3",  # tests connect thousands of times: 6 ms instead of 17 for the first query
}


def conf(port: int, *, fsync: bool) -> str:
    """The text of postgresql.conf, which is rewritten at each start. `fsync` False: for tests only."""
    chosen = {**SETTINGS, **({} if fsync else UNSAFE), "port": str(port)}
    return "# Written at each start by zoning-assets.\n" + "".join(
        f"{name} = '{value}'\n" for name, value in chosen.items()
    )
