"""The demo: a shop in two versions behind a real Envoy, and the proof that v2 did no harm.

Knows what is shown. Must not be imported by the other packages.
"""
