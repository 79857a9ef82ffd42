"""Every client that is guarded, as a table: how to open it, write with it and read with it, for real.

`table` says what an entry is, `servers` starts what the entries talk to, the other modules are the table, one
for each family of clients. tests/middleware/guards/test_matrix.py drives it; docs/guards.md is made from it.
"""
