"""The mirror-port manifests: what they say, that they are what is rendered, that Istio would take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mirrorproof_istio import MirrorPort, documents, mark_filter, render, strip_filter
from mirrorproof_istio.__main__ import main
from mirrorproof_istio.filters import SPELLINGS

ROOT = Path(__file__).parents[2]
CRDS = ROOT.parent / "shared" / "crds" / "customresourcedefinitions.gen.yaml"


def of_kind(kind: str, plan: MirrorPort | None = None) -> list[dict[str, Any]]:
    return [document for document in documents(plan or MirrorPort()) if document["kind"] == kind]


@pytest.fixture(scope="session")
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """Istio's own schemas, by (apiVersion, kind)."""
    if not CRDS.is_file():
        pytest.skip(
            f"Istio's CRD schemas are not here ({CRDS.parent.name}/{CRDS.name}): nothing to validate by"
        )
    with CRDS.open(encoding="utf-8") as file:
        crds = [crd for crd in yaml.load_all(file, yaml.CSafeLoader) if crd]
    return {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): closed(
            version["schema"]["openAPIV3Schema"]
        )
        for crd in crds
        for version in crd["spec"]["versions"]
    }


def closed(schema: Any) -> Any:
    """The schema with unknown fields forbidden, as the API server's pruning would drop a typo in silence."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(part) for key, part in schema.items()}
    open_ended = result.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in result
    if isinstance(result.get("properties"), dict) and result.get("type") == "object" and not open_ended:
        result["additionalProperties"] = False
    return result


def check(document: dict[str, Any], schemas: dict[tuple[str, str], dict[str, Any]]) -> None:
    schema = schemas[document["apiVersion"], document["kind"]]
    jsonschema.Draft7Validator(schema["properties"]["spec"]).validate(document["spec"])


@pytest.mark.parametrize("kind", ["EnvoyFilter", "VirtualService", "DestinationRule"])
def test_every_document_fits_istios_schema(kind: str, schemas: dict[tuple[str, str], dict[str, Any]]) -> None:
    for document in of_kind(kind):
        check(document, schemas)


def test_the_schema_check_notices_a_misspelt_field(schemas: dict[tuple[str, str], dict[str, Any]]) -> None:
    (route,) = of_kind("VirtualService")
    route["spec"]["http"][0]["mirors"] = route["spec"]["http"][0].pop("mirrors")
    with pytest.raises(jsonschema.ValidationError, match="mirors"):
        check(route, schemas)


def test_the_shipped_file_is_what_the_code_renders(tmp_path: Path) -> None:
    written = tmp_path / "again.yaml"
    assert main([str(written)]) == 0
    shipped = (ROOT / "envoyfilters" / "mirror-port.yaml").read_text(encoding="utf-8")
    assert shipped == written.read_text(encoding="utf-8"), (
        "run python -m mirrorproof_istio envoyfilters/mirror-port.yaml"
    )


def test_rendering_twice_gives_the_same_text_and_loses_nothing() -> None:
    assert render() == render()
    assert list(yaml.safe_load_all(render())) == documents(MirrorPort())


def test_every_document_is_preceded_by_its_reason() -> None:
    for part in render().split("---\n"):
        assert part.startswith("# ")


def test_the_mark_is_set_on_the_mirror_port_alone_and_after_the_strip() -> None:
    plan = MirrorPort(mirror_port=9191)
    workload = next(f for f in of_kind("EnvoyFilter", plan) if f["metadata"]["name"] == "orders-mirror-port")
    strip, mark = workload["spec"]["configPatches"]
    assert strip["patch"] == {"operation": "INSERT_FIRST", "value": strip_filter()}
    assert "portNumber" not in strip["match"]["listener"]
    assert mark["patch"] == {"operation": "INSERT_BEFORE", "value": mark_filter()}
    assert mark["match"]["listener"]["portNumber"] == 9191


def test_the_gateway_only_strips() -> None:
    gateway = next(f for f in of_kind("EnvoyFilter") if f["metadata"]["namespace"] == "istio-system")
    (patch,) = gateway["spec"]["configPatches"]
    assert patch["match"]["context"] == "GATEWAY"
    assert patch["patch"]["value"] == strip_filter()


def test_the_strip_takes_every_spelling_that_a_server_could_read_as_the_mark() -> None:
    mutations = strip_filter()["typed_config"]["mutations"]["request_mutations"]
    assert [mutation["remove"] for mutation in mutations] == list(SPELLINGS)
    assert all(spelling.replace("_", "-") == "x-istio-mirror" for spelling in SPELLINGS)


def test_the_mark_overwrites_and_never_appends() -> None:
    (mutation,) = mark_filter()["typed_config"]["mutations"]["request_mutations"]
    assert mutation["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    assert mutation["append"]["header"] == {"key": "x-istio-mirror", "value": "true"}


def test_the_route_gives_both_sides_an_id_that_no_caller_chooses_and_clears_hung_mirrors() -> None:
    (service,) = of_kind("VirtualService")
    (route,) = service["spec"]["http"]
    assert route["headers"]["request"] == {
        "set": {"x-mirror-id": "%UNIQUE_ID%"},
        "remove": ["x-istio-mirror"],
    }
    assert route["timeout"] == "15s"
    assert route["route"] == [{"destination": {"host": "orders", "subset": "v1"}}]


def test_the_mirror_leads_to_a_service_that_selects_v2_alone() -> None:
    plan = MirrorPort(service="cart", shadow_version="v3")
    (service,) = of_kind("Service", plan)
    (route,) = of_kind("VirtualService", plan)
    assert service["metadata"]["name"] == "cart-mirror"
    assert service["spec"]["selector"] == {"app": "cart", "version": "v3"}
    assert route["spec"]["http"][0]["mirrors"][0]["destination"]["host"] == "cart-mirror"


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"percentage": 150.0}, "percentage"),
        ({"percentage": -1.0}, "percentage"),
        ({"mirror_port": 0}, "mirror_port"),
        ({"service_port": 70000}, "service_port"),
        ({"service": "Orders"}, "service"),
        ({"namespace": "a b"}, "namespace"),
        ({"shadow_version": ""}, "shadow_version"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"gateway_labels": {}}, "gateway_labels"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_by_its_key(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} "):
        MirrorPort(**wrong)


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help-me"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_command_prints_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == render()
