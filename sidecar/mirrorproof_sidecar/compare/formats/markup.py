"""XML and HTML as trees.

Knows lxml. XML of records reads as objects: `<order><id>7</id></order>` is `{"order": {"id": "7"}}`, elements
that repeat are lists, attributes have an `@` before their name, and text beside them is `#`. Where text and
elements mix, and in HTML always, the children are a list under `#`, in their order.

No entity is expanded, nothing is fetched, and what costs a parser the square of its size is not parsed: a tag
with very many attributes.
"""

from __future__ import annotations

from typing import Any, Final

from lxml import etree

from mirrorproof_sidecar.compare.formats.reading import MAX_LEVELS, Content, UnreadableError, bounded
from mirrorproof_sidecar.compare.media import decode_text

__all__ = ["read_html", "read_xml"]

_MAX_HTML_BYTES: Final = 1 << 20
_MAX_ELEMENTS: Final = 50_000
_MAX_GAPS: Final = 4000
"""Words, slashes and equals signs between two `>`: a bound on the attributes of one tag."""
_VERBATIM: Final = frozenset({"pre", "textarea", "script", "style"})


def read_xml(content: Content) -> dict[str, Any]:
    """`{name of the root: …}`; names with their namespace before them in braces. Comments are left out."""
    if "charset" in content.media.parameters:
        decode_text(b"", content.media.charset, whole=True)  # only character sets that are known here
    named = content.media.charset if "charset" in content.media.parameters else None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_comments=True, remove_pis=True, strip_cdata=True, encoding=named,
    )  # fmt: skip
    root = _parsed(content.data, parser)
    return {_name(root): _children_first(root, lambda each, made: _element(each, made, html=False))}


def read_html(content: Content) -> dict[str, Any]:
    """`{"html": …}` as a browser would mend it; runs of white space are one space, but in `pre` and such."""
    if len(content.data) > _MAX_HTML_BYTES:
        raise UnreadableError(f"more than {_MAX_HTML_BYTES} bytes of HTML")
    if any(_gaps(piece) > _MAX_GAPS for piece in content.data.split(b">")):
        raise UnreadableError("a very long tag, or text")
    text = decode_text(content.data, content.media.charset, whole=True)
    parser = etree.HTMLParser(
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding="utf-8"
    )
    root = _parsed(text.encode("utf-8", "surrogatepass"), parser)
    return {_name(root): _children_first(root, lambda each, made: _element(each, made, html=True))}


def _gaps(piece: bytes) -> int:
    return len(piece.split()) + piece.count(b"/") + piece.count(b"=") if len(piece) > _MAX_GAPS else 0


def _parsed(data: bytes, parser: Any) -> Any:
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise UnreadableError("not well-formed") from error
    if root is None:
        raise UnreadableError("no element")
    return root


def _children_first(root: Any, make: Any) -> Any:
    """What `make(element, [(child, what was made of it)])` makes of the root. Without recursion."""
    made: dict[Any, Any] = {}
    count, levels = 0, 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            count, levels = count + 1, levels + 1
            bounded(count, "elements", _MAX_ELEMENTS)
            if levels > MAX_LEVELS:
                raise UnreadableError(f"nested deeper than {MAX_LEVELS}")
        else:
            levels -= 1
            made[element] = make(element, [(child, made.pop(child, None)) for child in element])
    return made[root]


def _name(element: Any) -> str:
    return element.tag if isinstance(element.tag, str) else f"&{element.name};"


def _element(element: Any, children: list[tuple[Any, Any]], *, html: bool) -> Any:
    found: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    keep = html and _name(element) in _VERBATIM
    texts = [_text(element.text, keep), *(_text(child.tail, keep) for child, _ in children)]
    if not children:
        return {**found, "#": texts[0]} if found and texts[0] else found or texts[0]
    if html or any(texts):
        return {**found, "#": _mixed(texts, children)}
    return found | _grouped(children)


def _text(text: str | None, keep: bool) -> str:
    if not text or keep:
        return text or ""
    return " ".join(text.split())


def _mixed(texts: list[str], children: list[tuple[Any, Any]]) -> list[Any]:
    items: list[Any] = [texts[0]] if texts[0] else []
    for text, (child, made) in zip(texts[1:], children, strict=True):
        items.append({_name(child): made})
        if text:
            items.append(text)
    return items


def _grouped(children: list[tuple[Any, Any]]) -> dict[str, Any]:
    groups: dict[str, list[Any]] = {}
    for child, made in children:
        groups.setdefault(_name(child), []).append(made)
    return {name: items[0] if len(items) == 1 else items for name, items in groups.items()}
