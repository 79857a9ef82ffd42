"""Sign-in, tokens, users: JSON with secrets, which a capture redacts, and the same from raw recordings."""

from __future__ import annotations

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..labels import Why
from ..marks import Marked, weave
from ..world import World

__all__ = ["SERVICES"]

auth = Service("auth")
auth_raw = Service("auth", raw=True)
SERVICES = (auth, auth_raw)


@auth.on("POST", "/oauth/token")
@auth_raw.on("POST", "/raw/oauth/token")
def token(world: World, env: Env) -> Answer:
    """A token answer (RFC 6749)."""
    lifetime = world.one(3600, 900, 86_400)
    tree = {
        "access_token": env.jwt(world.email(), lifetime),
        "token_type": "Bearer",
        "expires_in": lifetime,
        "refresh_token": env.nonce(32),
        "scope": world.one("read write", "openid profile", "read"),
        "issued_at": env.now(),
        "expires_at": env.now(plus_s=lifetime),
        "session_state": env.uuid(),
        "user": {
            "id": world.stored_id(env.style.ids, "usr"),
            "role": world.one("admin", "member", "viewer"),
            "mfa": world.chance(0.5),
            "login_count": world.number(1, 400),
        },
    }
    return Answer(
        tree,
        path="/oauth/token",
        headers={
            "cache-control": "no-store",
            "pragma": "no-cache",
            "set-cookie": weave("sid=", env.nonce(24), "; Path=/; HttpOnly; Secure; SameSite=Lax"),
        },
        effects=[Act("redis.setex", weave("key session:", env.hex_token()), {"ttl": lifetime})],
    )


@auth.on("GET", "/userinfo")
def userinfo(world: World, env: Env) -> Answer:
    """Who is signed in."""
    name = world.person()
    tree = {
        "sub": world.stored_id(env.style.ids, "usr"),
        "name": name,
        "email": world.email(),
        "email_verified": world.chance(0.8),
        "locale": world.one("de-DE", "en-GB", "fr-FR"),
        "zoneinfo": world.one("Europe/Berlin", "America/New_York"),
        "updated_at": int(world.past()),
        "auth_time": int(world.recent()),
        "groups": world.tags(3),
        "permissions": {
            "role": world.one("ADMIN", "EDITOR"),
            "scopes": ["orders:read", "orders:write", "users:read"],
        },
        "last_login_at": env.stored(world.recent()),
        "picture": env.signed_url(
            "https://avatars.example/u/7.png", signer=world.one("gcs", "azure", "cloudfront")
        ),
    }
    return Answer(
        tree, path="/userinfo", headers={"cache-control": "no-store", "x-correlation-id": env.uuid()}
    )


@auth.on("POST", "/login")
def login_failed(world: World, env: Env) -> Answer:
    """A refused sign-in, as a problem document (RFC 9457)."""
    tree = {
        "type": "https://errors.example/invalid-credentials",
        "title": "Invalid credentials",
        "status": 401,
        "detail": "The e-mail address or the password is wrong.",
        "instance": weave("urn:uuid:", env.uuid()),
        "attempts_left": world.number(1, 4),
        "timestamp": env.now(),
    }
    return Answer(
        tree,
        status=401,
        path="/login",
        content_type="application/problem+json",
        headers={
            "www-authenticate": 'Bearer realm="example", error="invalid_token"',
            "cache-control": "no-store",
        },
        effects=[Act("sql.insert", "login_attempts", {"ok": 0, "at": env.now("sql")}, frozenset({"at"}))],
    )


@auth.on("POST", "/users")
def register(world: World, env: Env) -> Answer:
    """A new user, and the mail that goes out."""
    user = env.new_id(world.number(400, 9_000), "usr")
    email = world.email()
    tree = {
        "user_id": user,
        "email": email,
        "display_name": world.person(),
        "status": "pending_verification",
        "created_at": env.now(),
        "verification": {"expires_at": env.now(plus_s=86_400), "channel": "email", "for_user": user},
        "profile_url": weave("https://id.example/users/", user),
        "plan": world.one("free", "pro"),
        "seats": world.number(1, 9),
    }
    effects = [
        Act(
            "sql.insert",
            "users",
            {"id": user, "email": email, "created_at": env.now("sql")},
            frozenset({"id", "created_at"}),
        ),
        Act("mail.send", "example.org", {"recipients": 1, "subject": "Please confirm your address"}),
        Act(
            "http.request",
            "POST https://crm.example/contacts",
            {"external_id": user, "email_domain": email.split("@")[1]},
        ),
    ]
    return Answer(
        tree, status=201, path="/users", effects=effects, headers={"location": weave("/users/", user)}
    )


@auth_raw.on("GET", "/raw/session")
def session(world: World, env: Env) -> Answer:
    """A session with a CSRF token and a cookie, not redacted."""
    tree = {
        "csrf_token": env.hex_token(),
        "session_id": env.nonce(22),
        "user": world.person(),
        "role": world.one("admin", "member"),
        "started": env.stored(world.recent()),
        "expires": env.now(plus_s=1200),
        "device": {"trusted": world.chance(0.5), "id": world.uuid()},
        "features": {"beta": world.chance(0.5), "limit": world.number(1, 90)},
    }
    return Answer(
        tree,
        path="/session",
        headers={
            "set-cookie": Marked(
                [
                    f"csrftoken={env.hex_token().value}; Path=/; SameSite=Strict",
                    f"sid={env.nonce().value}; Path=/; HttpOnly; Secure",
                ],
                Why.TOKEN,
            ),
            "content-security-policy": weave("default-src 'self'; script-src 'nonce-", env.nonce(16), "'"),
            "cache-control": "no-store",
        },
    )
