"""Geography: GeoJSON, geocoding, routes, weather; floats that are computed."""

from __future__ import annotations

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..marks import weave
from ..world import World

__all__ = ["SERVICES"]

geo = Service("geo")
SERVICES = (geo,)


@geo.on("GET", "/geocode")
def geocode(world: World, env: Env) -> Answer:
    """Places as GeoJSON (RFC 7946)."""
    features = []
    for _ in range(world.number(1, 5)):
        city, country, lat, lon = world.city()
        features.append(
            {
                "type": "Feature",
                "id": world.uuid(),
                "geometry": {
                    "type": "Point",
                    "coordinates": [round(lon + world.number(-50, 50) / 10_000, 6), round(lat, 6)],
                },
                "properties": {
                    "name": city,
                    "country": country,
                    "kind": world.one("city", "street", "poi"),
                    "population": world.number(900, 4_000_000),
                    "confidence": env.jitter(world.random.random()),
                    "label": f"{world.word().title()}straße {world.number(1, 99)}, {city}",
                },
            }
        )
    tree = {
        "type": "FeatureCollection",
        "features": features,
        "bbox": [5.9, 45.8, 15.1, 55.0],
        "geocoding": {
            "version": "0.2",
            "timestamp": env.now("epoch_ms"),
            "engine": {"name": "Pelias", "version": "1.0"},
        },
    }
    return Answer(
        tree,
        path="/geocode",
        query="q=Berlin",
        content_type="application/geo+json",
        headers={"cache-control": "public, max-age=86400"},
    )


@geo.on("GET", "/route")
def route(world: World, env: Env) -> Answer:
    """A route: sums of floats, and a time of arrival."""
    legs = [
        {
            "distance": env.jitter(world.random.uniform(500, 90_000)),
            "duration": round(world.random.uniform(60, 9_000), 1),
            "summary": f"{world.word().title()} {world.word().title()}",
            "steps": world.number(2, 30),
        }
        for _ in range(world.number(1, 4))
    ]
    seconds = sum(leg["duration"] for leg in legs)
    tree = {
        "code": "Ok",
        "routes": [
            {
                "legs": legs,
                "weight_name": "routability",
                "weight": env.jitter(seconds * 1.1),
                "geometry": world.sha(),
                "duration": round(seconds, 1),
            }
        ],
        "waypoints": [
            {
                "name": world.city()[0],
                "location": [world.number(-180, 180) + 0.5, world.number(-80, 80) + 0.25],
            }
            for _ in range(2)
        ],
        "eta": env.now(plus_s=seconds),
        "uuid": env.nonce(24),
    }
    return Answer(tree, path="/route", headers={"cache-control": "no-store", "x-router": env.host("router")})


@geo.on("GET", "/weather")
def weather(world: World, env: Env) -> Answer:
    """A forecast; observed at a time, valid from now."""
    city, country, lat, lon = world.city()
    tree = {
        "city": city,
        "country": country,
        "coord": {"lat": lat, "lon": lon},
        "timezone_offset": world.one(0, 3600, 7200),
        "observed_at": env.stored(world.recent()),
        "served_at": env.now(),
        "current": {
            "temp": round(world.random.uniform(-9, 36), 1),
            "humidity": world.number(10, 100),
            "unit": "celsius",
            "condition": world.one("clear", "rain", "snow"),
        },
        "hourly": [
            {"hour": hour, "temp": round(world.random.uniform(-9, 36), 1), "rain_mm": world.number(0, 9)}
            for hour in range(world.number(4, 12))
        ],
    }
    return Answer(
        tree,
        path="/weather",
        headers={
            "cache-control": "public, max-age=600",
            "age": env.took_ms().map(str),
            "x-cache": "HIT",
            "expires": env.now("rfc1123", plus_s=600),
        },
    )


@geo.on("POST", "/fences")
def fence(world: World, env: Env) -> Answer:
    """A new geofence."""
    made = env.new_id(world.number(10, 900), "fnc")
    radius = world.number(50, 5_000)
    tree = {
        "fence_id": made,
        "name": world.slug(),
        "radius_m": radius,
        "center": {"lat": world.city()[2], "lon": world.city()[3]},
        "created_at": env.now(),
        "triggers": [{"fence_id": made, "on": each, "enabled": True} for each in ("enter", "exit")],
        "self": weave("https://geo.example/fences/", made),
    }
    return Answer(
        tree,
        status=201,
        path="/fences",
        headers={"location": weave("/fences/", made)},
        effects=[Act("sql.insert", "fences", {"id": made, "radius_m": radius}, frozenset({"id"}))],
    )
