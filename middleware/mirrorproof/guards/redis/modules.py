"""What reads among the commands of Redis's modules: JSON, search, time series, probabilistic types, vectors.

By their documentation, where each is marked as read-only. A search's cursor is the application's own.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MODULE_READS", "MODULE_SUBCOMMANDS"]

_BY_PREFIX: Final = {
    "BF.": "CARD EXISTS INFO MEXISTS SCANDUMP",
    "CF.": "COUNT EXISTS INFO MEXISTS SCANDUMP",
    "CMS.": "INFO QUERY",
    "FT.": "_LIST AGGREGATE ALIASLIST CURSOR DICTDUMP EXPLAIN EXPLAINCLI GET HYBRID INFO MGET PROFILE SEARCH"
    " SPELLCHECK SUGGET SUGLEN SYNDUMP TAGVALS",
    "JSON.": "ARRINDEX ARRLEN GET MGET OBJKEYS OBJLEN RESP STRLEN TYPE",
    "TDIGEST.": "BYRANK BYREVRANK CDF INFO MAX MIN QUANTILE RANK REVRANK TRIMMED_MEAN",
    "TOPK.": "COUNT INFO LIST QUERY",
    "TS.": "GET INFO MGET MRANGE MREVRANGE NRANGE NREVRANGE QUERYINDEX QUERYLABELS RANGE REVRANGE",
    "V": "CARD DIM EMB GETATTR INFO ISMEMBER LINKS RANDMEMBER RANGE SIM",
}
MODULE_READS: Final = frozenset(
    prefix + name for prefix, names in _BY_PREFIX.items() for name in names.split()
)
MODULE_SUBCOMMANDS: Final = {"FT.CONFIG": "GET HELP", "JSON.DEBUG": "HELP MEMORY"}
