"""The request lease: a mirrored request's SQL runs on a connection whose work never lasts.

    leased        which of a driver's connections are leases'
    lease         one physical connection: its transaction, its state, its end
    fuse          why the lease cannot commit
    mariadb_fuse  the same for MariaDB; lasting: what it does not roll back; mariadb_text: reading its SQL;
                  mariadb_shield: the ways around that its drivers have
    watch         the yield watchdog: lets go what others wait for; watch_mariadb: how it is seen there
    checkout      one checkout's statements; transactions: its begin, commit and rollback;
                  levels: the savepoints behind them
    shield        the DBAPI connection that the application sees; cursors; driver_shield: the async
                  drivers' own connections
    effects       statements as effects: labels and digests; statement: reading SQL for that
    drivers       what differs between drivers, mariadb_drivers; known_drivers: which there are
    turn          a lock for threads or tasks; proxy

Knows SQL, drivers and transactions. Must not know who hands connections out: `guards.sqlalchemy` does.
"""

__all__: list[str] = []
