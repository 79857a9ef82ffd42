"""The shop: one code base, two releases of it.

Knows catalogue, carts and orders. Must not know Envoy, Locust, or how the demo proves anything; of
mirrorproof it uses what a user's service would use, and no more.
"""
