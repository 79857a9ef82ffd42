"""Databases' drivers used directly: a mirrored request gets a shield on a lease from them as well.

    lending       a lease for a driver's own `connect`, and who may use which connection
    own, urls     databases of v2's own, where what is written lasts
    observing     what live requests write
    psycopg, psycopg2, asyncpg, pymysql, asyncmy_aiomysql, mysqlclient
                  where each driver hands out connections, its pools among them

The lease and its shield are those of `guards.sql`; they are written against SQLAlchemy's pools and asyncio
adapters, so these guards need SQLAlchemy to be installed, and refuse mirrored requests without it.
"""

__all__: list[str] = []
