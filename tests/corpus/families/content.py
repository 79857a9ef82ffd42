"""Feed, search and a GraphQL interface: JSON with cursors, scores, facets, edges."""

from __future__ import annotations

import base64
from typing import Any

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..marks import weave
from ..world import World

__all__ = ["SERVICES"]

feed = Service("feed")
search = Service("search")
graphql = Service("graphql")
repos = Service("repos")
SERVICES = (feed, search, graphql, repos)


@feed.on("GET", "/timeline")
def timeline(world: World, env: Env) -> Answer:
    """A page of posts with cursors."""
    posts = []
    for _ in range(world.number(3, 10)):
        likes = world.number(0, 5_000)
        author = world.person()
        posts.append(
            {
                "id": world.stored_id(env.style.ids, "post"),
                "text": world.sentence(world.number(4, 14)),
                "author": {
                    "name": author,
                    "handle": world.slug(),
                    "avatar": f"https://img.feed.example/{world.slug()}.webp",
                },
                "created_at": env.stored(world.recent()),
                "likes": env.moving(likes, likes + world.one(0, 0, 1)),
                "reply_count": world.number(0, 60),
                "visibility": world.one("public", "followers"),
                "lang": world.one("en", "de", "pl"),
                "edited": world.chance(0.1),
                "media": [
                    {
                        "type": "image",
                        "url": env.signed_url(f"https://media.feed.example/{world.slug()}.jpg"),
                        "width": 1200,
                        "height": 800,
                        "blurhash": world.sha()[:20],
                    }
                ]
                if world.chance(0.4)
                else [],
            }
        )
    tree = {
        "posts": posts,
        "next_cursor": env.cursor({"after": str(posts[-1]["id"])}),
        "has_more": True,
        "unread": world.number(0, 99),
        "refreshed_at": env.now(),
    }
    return Answer(
        tree,
        path="/timeline",
        query="limit=10",
        headers={
            "cache-control": "private, no-cache",
            "x-trace-id": env.trace_id(),
            "x-backend": env.host("feed"),
        },
    )


@feed.on("POST", "/posts")
def post(world: World, env: Env) -> Answer:
    """A new post."""
    made = env.new_id(world.number(10_000, 99_000), "post")
    text = world.sentence(8)
    tree = {
        "id": made,
        "text": text,
        "author_id": world.stored_id(env.style.ids, "usr"),
        "created_at": env.now(),
        "url": weave("https://feed.example/p/", made),
        "thread": {"root": made, "depth": 0},
        "likes": 0,
        "visibility": world.one("public", "followers"),
        "edit_token": env.hex_token(),
        "entities": {"tags": [f"#{each}" for each in world.tags(2)], "mentions": []},
    }
    effects = [
        Act(
            "sql.insert",
            "posts",
            {"id": made, "text": text, "created_at": env.now("sql")},
            frozenset({"id", "created_at"}),
        ),
        Act("redis.lpush", "key timeline:home", {"post": made}),
        Act("queue.publish", "task fanout", {"post_id": made, "task_id": env.uuid()}),
    ]
    return Answer(
        tree, status=201, path="/posts", effects=effects, headers={"location": weave("/posts/", made)}
    )


@feed.on("GET", "/notifications")
def notifications(world: World, env: Env) -> Answer:
    """What happened lately."""
    tree = [
        {
            "id": world.stored_id(env.style.ids, "ntf"),
            "type": world.one("like", "follow", "mention"),
            "from": world.person(),
            "message": world.sentence(5),
            "read": world.chance(0.5),
            "at": env.stored(world.recent()),
            "target_id": world.stored_id(env.style.ids, "post"),
        }
        for _ in range(world.number(2, 8))
    ]
    return Answer(
        tree,
        path="/notifications",
        headers={
            "cache-control": "private, max-age=5",
            "vary": "Accept",
            "x-poll-interval": "60",
            "x-runtime": env.took_s(),
        },
    )


@search.on("GET", "/search")
def query(world: World, env: Env) -> Answer:
    """Hits with scores and facets, the way of Elasticsearch."""
    hits = sorted((round(world.random.uniform(0.5, 18), 6) for _ in range(world.number(3, 10))), reverse=True)
    tree = {
        "took": env.took_ms(),
        "timed_out": False,
        "_shards": {"total": 5, "successful": 5, "skipped": 0, "failed": 0},
        "hits": {
            "total": {"value": world.number(10, 9_000), "relation": "eq"},
            "max_score": env.jitter(hits[0]),
            "hits": [
                {
                    "_index": "docs-000007",
                    "_id": world.stored_id(env.style.ids, "doc"),
                    "_score": env.jitter(score),
                    "_source": {
                        "title": world.sentence(4),
                        "category": world.word(),
                        "price": world.cents() / 100,
                        "published": env.stored(world.past()),
                        "tags": world.tags(2),
                    },
                    "highlight": {"title": [f"<em>{world.word()}</em> {world.word()}"]},
                }
                for score in hits
            ],
        },
        "aggregations": {
            "category": {
                "doc_count_error_upper_bound": 0,
                "sum_other_doc_count": world.number(0, 90),
                "buckets": [{"key": each, "doc_count": world.number(1, 400)} for each in world.tags(4)],
            },
            "avg_price": {"value": env.jitter(world.random.uniform(10, 300))},
        },
    }
    return Answer(
        tree,
        path="/search",
        query=f"q={world.word()}",
        headers={
            "cache-control": "no-cache",
            "x-search-node": env.host("search"),
            "x-elapsed": env.took_ms().map(lambda ms: f"{ms}ms"),
        },
    )


@search.on("GET", "/suggest")
def suggest(world: World, env: Env) -> Answer:
    """Completions; the order is the ranking."""
    prefix = world.word()
    tree = {
        "query": prefix,
        "suggestions": [
            {
                "text": f"{prefix} {world.word()} {world.number(1, 99)}",
                "weight": 100 - 7 * number,
                "type": world.one("product", "brand"),
            }
            for number in range(world.number(3, 8))
        ],
        "query_id": env.uuid(),
        "processing_time_ms": env.took_ms(),
        "exhaustive": True,
    }
    return Answer(
        tree, path="/suggest", query=f"q={prefix}", headers={"cache-control": "public, max-age=300"}
    )


@search.on("GET", "/facets")
def facets(world: World, env: Env) -> Answer:
    """Facets from a map that is iterated in any order: a set written as an array, now and then."""
    names = world.tags(5)
    known = [{"name": each, "count": world.number(1, 900)} for each in names]
    tree = {
        "facets": env.bag(known) if world.chance(0.12) else known,
        "total": sum(each["count"] for each in known),
        "collection": world.word(),
        "generated": env.now(),
    }
    return Answer(tree, path="/facets", headers={"cache-control": "public, max-age=30"})


def _node(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


@graphql.on("POST", "/graphql")
def viewer(world: World, env: Env) -> Answer:
    """A connection with edges and cursors, and the extensions that servers add."""
    base = world.number(100, 9_000)
    edges = [
        {
            "cursor": base64.b64encode(f"cursor:{base + number}".encode()).decode(),
            "node": {
                "__typename": "Issue",
                "id": _node("Issue", base + number),
                "title": world.sentence(5),
                "state": world.one("OPEN", "CLOSED"),
                "createdAt": env.stored(world.past()),
                "author": {"login": world.slug()},
                "comments": {"totalCount": world.number(0, 40)},
                "labels": {"nodes": [{"name": each} for each in world.tags(2)]},
            },
        }
        for number in range(world.number(2, 7))
    ]
    tree: dict[str, Any] = {
        "data": {
            "repository": {
                "id": _node("Repository", base),
                "nameWithOwner": f"{world.word()}/{world.word()}",
                "issues": {
                    "totalCount": world.number(10, 500),
                    "edges": edges,
                    "pageInfo": {"hasNextPage": True, "endCursor": edges[-1]["cursor"]},
                },
            },
            "viewer": {"login": world.slug(), "isAdmin": False},
            "rateLimit": {
                "cost": 1,
                "remaining": env.sequence(200).map(lambda used: 5000 - used),
                "resetAt": env.now("iso_z", plus_s=3600),
            },
        },
        "extensions": {
            "requestId": env.uuid(),
            "cost": {"actualQueryCost": world.number(2, 60)},
            "tracing": {
                "version": 1,
                "startTime": env.now("iso_milli"),
                "endTime": env.now("iso_milli", 0.02),
                "duration": env.took_ms().map(lambda ms: ms * 1_000_003),
            },
        },
    }
    return Answer(
        tree,
        path="/graphql",
        content_type="application/graphql-response+json; charset=utf-8",
        headers={"cache-control": "no-store"},
    )


@graphql.on("POST", "/graphql/mutation")
def mutation(world: World, env: Env) -> Answer:
    """A mutation's payload."""
    made = env.sequence(world.number(100, 9_000))
    node = made.map(lambda number: _node("Comment", number))
    body = world.sentence(7)
    tree = {
        "data": {
            "addComment": {
                "clientMutationId": world.slug(),
                "commentEdge": {
                    "cursor": node,
                    "node": {
                        "id": node,
                        "databaseId": made,
                        "body": body,
                        "createdAt": env.now("iso_z"),
                        "url": weave("https://code.example/issues/7#comment-", made),
                        "author": {"login": world.slug(), "role": "MEMBER"},
                        "reactionGroups": [
                            {"content": each, "users": {"totalCount": 0}} for each in ("THUMBS_UP", "HEART")
                        ],
                    },
                },
                "subject": {"id": _node("Issue", 7), "comments": {"totalCount": world.number(1, 50)}},
            }
        }
    }
    effects = [
        Act("sql.insert", "comments", {"id": made, "body": body}, frozenset({"id"})),
        Act("http.request", "POST https://hooks.example/notify", {"comment": made, "body": body}),
    ]
    return Answer(tree, path="/graphql", effects=effects, headers={"cache-control": "no-store"})


@graphql.on("POST", "/graphql/errors")
def errors(world: World, env: Env) -> Answer:
    """Partial data with errors."""
    tree = {
        "data": {"user": None, "node": {"id": _node("User", world.number(1, 900)), "name": world.person()}},
        "errors": [
            {
                "message": f"Could not resolve to a User with the login of '{world.slug()}'.",
                "type": "NOT_FOUND",
                "path": ["user"],
                "locations": [{"line": world.number(1, 9), "column": world.number(1, 40)}],
                "extensions": {
                    "code": "NOT_FOUND",
                    "timestamp": env.now("iso_milli"),
                    "traceId": env.trace_id(),
                },
            }
        ],
    }
    return Answer(tree, path="/graphql", headers={"x-request-cost": "1"})


@repos.on("GET", "/repos/{owner}/{repo}/commits")
def commits(world: World, env: Env) -> Answer:
    """Commits with the Link header of a paged interface, ETag and rate limit."""
    name = f"{world.word()}/{world.word()}"
    tree = []
    for _ in range(world.number(2, 8)):
        sha, author = world.sha(), world.person()
        tree.append(
            {
                "sha": sha,
                "node_id": base64.b64encode(sha[:12].encode()).decode(),
                "commit": {
                    "author": {
                        "name": author,
                        "email": world.email(),
                        "date": env.stored(world.past(), "iso_z"),
                    },
                    "message": world.sentence(6),
                    "comment_count": world.number(0, 4),
                    "verification": {"verified": world.chance(0.5), "reason": world.one("valid", "unsigned")},
                },
                "url": f"https://api.code.example/repos/{name}/commits/{sha}",
                "parents": [{"sha": world.sha()}],
                "stats": {"additions": world.number(0, 900), "deletions": world.number(0, 300)},
            }
        )
    return Answer(
        tree,
        path=f"/repos/{name}/commits",
        headers={
            "link": f'<https://api.code.example/repos/{name}/commits?page=2>; rel="next"',
            "etag": env.etag_of(name),
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": env.sequence(40).map(lambda used: str(5000 - used)),
            "x-ratelimit-reset": env.now("epoch", plus_s=1700),
            "x-github-request-id": env.hex_token(20),
            "cache-control": "private, max-age=60, s-maxage=60",
            "vary": "Accept, Authorization",
        },
    )


@repos.on("POST", "/repos/{owner}/{repo}/issues")
def open_issue(world: World, env: Env) -> Answer:
    """A new issue: a number that counts up and an id that counts up elsewhere."""
    name = f"{world.word()}/{world.word()}"
    number, made = env.sequence(world.number(10, 900)), env.sequence(world.number(1_000_000, 9_000_000))
    title, base = world.sentence(5), f"https://api.code.example/repos/{name}/issues"
    tree = {
        "id": made,
        "number": number,
        "node_id": made.map(lambda value: _node("Issue", value)),
        "title": title,
        "state": "open",
        "locked": False,
        "url": weave(base + "/", number),
        "comments_url": weave(base + "/", number, "/comments"),
        "html_url": weave(f"https://code.example/{name}/issues/", number),
        "comments": 0,
        "created_at": env.now("iso_z"),
        "updated_at": env.now("iso_z"),
        "closed_at": None,
        "user": {"login": world.slug(), "id": world.number(1, 90_000), "type": "User", "site_admin": False},
        "labels": [{"name": each, "color": f"{world.number(0, 0xFFFFFF):06x}"} for each in world.tags(2)],
        "body": world.sentence(14),
    }
    effects = [
        Act("sql.insert", "issues", {"id": made, "number": number, "title": title}, frozenset({"id"})),
        Act("sql.update", "repositories", {"open_issues": world.number(3, 90), "name": name}),
    ]
    return Answer(
        tree,
        status=201,
        path=f"/repos/{name}/issues",
        effects=effects,
        headers={"location": weave(base + "/", number), "x-github-request-id": env.hex_token(20)},
    )
