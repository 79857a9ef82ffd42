"""Settings: where they come from, in which order, and what an error says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mirrorproof.decision import Mode, Role, Trust
from mirrorproof.errors import SettingsError
from mirrorproof.rulings import CannedAnswer, EffectRule
from mirrorproof.settings import Settings, describe

SHOWN = describe(Settings)


def load(env: dict[str, str] | None = None, **flags: Any) -> Settings:
    return Settings.load(env=env or {}, **flags)


def message(env: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(env, **flags)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> dict[str, str]:
        path = tmp_path / "mirrorproof.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return {"MIRRORPROOF_CONFIG": str(path)}

    return write


def test_without_any_source_everything_has_a_default() -> None:
    assert load() == Settings()


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(toml: Any) -> None:
    env = toml('[middleware]\nservice = "file"\nversion = "file"\nrole = "shadow"\n')
    env |= {"MIRRORPROOF_SERVICE": "variable", "MIRRORPROOF_VERSION": "variable"}
    settings = load(env, service="flag")
    assert (settings.service, settings.version, settings.role) == ("flag", "variable", Role.SHADOW)


def test_a_flag_that_is_none_was_not_given() -> None:
    assert load({"MIRRORPROOF_SERVICE": "variable"}, service=None).service == "variable"


def test_variables_are_read_as_what_the_setting_is() -> None:
    settings = load(
        {
            "MIRRORPROOF_ROLE": "mixed",
            "MIRRORPROOF_TRUST": "mirror_port, key",
            "MIRRORPROOF_MIRROR_PORT": "9091",
            "MIRRORPROOF_KEY": "123",
            "MIRRORPROOF_SAMPLE": "0.25",
            "MIRRORPROOF_GUARDS": "false",
            "MIRRORPROOF_REDACT": "e-mail,, phone ,",
            "MIRRORPROOF_MESH_DOMAINS": "",
        }
    )
    assert settings.trust == (Trust.MIRROR_PORT, Trust.KEY)
    assert (settings.mirror_port, settings.key, settings.sample) == (9091, "123", 0.25)
    assert (settings.guards, settings.redact, settings.mesh_domains) == (False, ("e-mail", "phone"), ())


def test_nested_settings_are_json_in_a_variable() -> None:
    settings = load(
        {
            "MIRRORPROOF_MODES": '{"/admin/*": "read_only", "*": "observe"}',
            "MIRRORPROOF_EFFECT_RULES": '[{"host": "pay.*", "answer": {"status": 201, "body": "{}"}}]',
            "MIRRORPROOF_REDACT": '["with, comma"]',
        }
    )
    assert list(settings.modes.items()) == [("/admin/*", Mode.READ_ONLY), ("*", Mode.OBSERVE)]
    assert settings.effect_rules == (EffectRule(host="pay.*", answer=CannedAnswer(status=201, body="{}")),)
    assert settings.redact == ("with, comma",)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MIRRORPROOF_MODES", "/admin/*=read_only"),
        ("MIRRORPROOF_MODES", '{"/admin/*": "read_only"'),
        ("MIRRORPROOF_MODES", "[" * 100_000),
        ("MIRRORPROOF_EFFECT_RULES", "[{]"),
    ],
)
def test_a_nested_variable_that_is_no_json_is_named_and_json_asked_for(variable: str, text: str) -> None:
    said = message({variable: text})
    assert said.startswith(variable)
    assert "JSON" in said


def test_a_nested_variable_with_a_wrong_value_is_named() -> None:
    assert "MIRRORPROOF_MODES" in message({"MIRRORPROOF_MODES": '{"*": "dry"}'})
    assert "MIRRORPROOF_EFFECT_RULES" in message({"MIRRORPROOF_EFFECT_RULES": '[{"hots": "*"}]'})
    assert "MIRRORPROOF_EFFECT_RULES" in message({"MIRRORPROOF_EFFECT_RULES": "pay.example"})


def test_tables_of_the_file_become_nested_settings(toml: Any) -> None:
    settings = load(
        toml(
            '[middleware]\nredact = ["e-mail"]\n[middleware.modes]\n"/a/*" = "observe"\n'
            '[[middleware.effect_rules]]\nhost = "pay"\nanswer = {status = 202}\n'
            '[recorder]\nlisten = "127.0.0.1:9600"\n'
        )
    )
    assert settings.redact == ("e-mail",)
    assert settings.modes == {"/a/*": Mode.OBSERVE}
    assert settings.effect_rules == (EffectRule(host="pay", answer=CannedAnswer(status=202)),)


def test_an_unknown_flag_is_named_with_the_nearest_one() -> None:
    assert message(sevice="shop") == "sevice is no setting. Did you mean service?"


def test_an_unknown_variable_is_named_with_the_nearest_one() -> None:
    assert message({"MIRRORPROOF_SERVCE": "x"}) == (
        "MIRRORPROOF_SERVCE is no setting. Did you mean MIRRORPROOF_SERVICE?"
    )


def test_a_misspelt_port_does_not_pass_for_what_kubernetes_sets() -> None:
    assert "Did you mean MIRRORPROOF_MIRROR_PORT?" in message({"MIRRORPROOF_MIRORR_PORT": "9091"})


def test_an_unknown_key_or_table_of_the_file_is_named_with_the_nearest_one(toml: Any) -> None:
    assert "[middleware] sevice is no setting. Did you mean service?" in message(
        toml("[middleware]\nsevice=1")
    )
    assert "middlewar is no setting. Did you mean middleware?" in message(toml("[middlewar]\n"))
    assert "middleware has to be a table" in message(toml("middleware = 1"))


def test_what_resembles_nothing_is_sent_to_the_documentation() -> None:
    assert "docs/settings.md" in message(zzz=1)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MIRRORPROOF_SAMPLE", "2"),
        ("MIRRORPROOF_SAMPLE", "nan"),
        ("MIRRORPROOF_ROLE", "Shadow"),
        ("MIRRORPROOF_ROLE", ""),
        ("MIRRORPROOF_TRUST", "port"),
        ("MIRRORPROOF_GUARDS", "no"),
        ("MIRRORPROOF_MIRROR_PORT", "http"),
        ("MIRRORPROOF_MAX_BODY_BYTES", "1e9"),
        ("MIRRORPROOF_FLUSH_INTERVAL_S", "inf"),
        ("MIRRORPROOF_SHIP_TIMEOUT_S", "0"),
        ("MIRRORPROOF_SERVICE", "x" * 257),
    ],
)
def test_a_bad_value_is_named_shown_and_explained(variable: str, value: str) -> None:
    said = message({variable: value})
    meaning = {name: text for name, _, text in SHOWN}[variable.removeprefix("MIRRORPROOF_").lower()]
    assert said.startswith(f"{variable} = ")
    assert value in said
    assert said.endswith(meaning)


def test_a_bad_value_of_the_file_is_said_to_be_of_the_file(toml: Any) -> None:
    said = message(toml("[middleware]\nsample = 7\n"))
    assert said.startswith("MIRRORPROOF_CONFIG file, [middleware] sample = 7: ")


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"trust": ["mirror_port"]}, "mirror_port"),
        ({"trust": ["key"]}, "key"),
        ({"trust": ["key"], "key": ""}, "key"),
        ({"recorder": "127.0.0.1:9600"}, "recorder"),
        ({"recorder": "http://"}, "recorder"),
        ({"recorder": "http://recorder:99999"}, "recorder"),
        ({"recorder": "http://[::1"}, "recorder"),
        ({"mode": "live"}, "mode"),
        ({"modes": {"*": "live"}}, "mode"),
        ({"token": "secret-with-a-line-end\n"}, "token"),
        ({"token": "sécret"}, "token"),
    ],
)
def test_settings_that_do_not_go_together_are_named(flags: dict[str, Any], key: str) -> None:
    said = message(**flags)
    assert key in said
    assert "secret-with" not in said


def test_the_recorder_can_be_any_http_url() -> None:
    for url in ("http://127.0.0.1:9600", "https://recorder.mirror.svc/base", "http://[::1]:9600"):
        assert load(recorder=url).recorder == url


def test_a_role_or_mode_given_in_code_as_text_is_taken_as_what_it_names() -> None:
    settings = Settings(role="shadow", mode="observe")  # type: ignore[arg-type]
    assert settings.role is Role.SHADOW
    assert settings.role.always_mirrored
    assert settings.mode is Mode.OBSERVE


def test_a_secret_is_in_no_error_and_in_no_repr(toml: Any) -> None:
    for key in ("key", "token"):
        assert "12345" not in message(toml(f"[middleware]\n{key} = 12345\n"))
        assert "***" in message(toml(f"[middleware]\n{key} = 12345\n"))
        assert "hunter2" not in repr(load(**{key: "hunter2"}))


def test_variables_that_kubernetes_sets_for_services_are_ignored() -> None:
    env = {
        "MIRRORPROOF_SERVICE_HOST": "10.0.0.1",
        "MIRRORPROOF_SERVICE_PORT": "9600",
        "MIRRORPROOF_SERVICE_PORT_HTTP": "9600",
        "MIRRORPROOF_PORT": "tcp://10.0.0.1:9600",
        "MIRRORPROOF_PORT_9600_TCP": "tcp://10.0.0.1:9600",
        "MIRRORPROOF_PORT_9600_TCP_PROTO": "tcp",
        "MIRRORPROOF_PORT_9600_TCP_PORT": "9600",
        "MIRRORPROOF_PORT_9600_TCP_ADDR": "10.0.0.1",
        "MIRRORPROOF_RECORDER_SERVICE_HOST": "10.0.0.2",
        "MIRRORPROOF_RECORDER_PORT": "tcp://10.0.0.2:9600",
    }
    assert load(env) == Settings()


def test_a_kubernetes_service_called_mirrorproof_mirror_does_not_set_the_mirror_port() -> None:
    assert load({"MIRRORPROOF_MIRROR_PORT": "tcp://10.0.0.1:9091"}).mirror_port is None


def test_variables_of_other_programs_and_of_the_recorder_are_left_alone() -> None:
    env = {"PATH": "/bin", "MIRRORPROOF_LISTEN": "127.0.0.1:9600", "MIRRORPROOF_STORE": "sqlite:///x"}
    assert load(env) == Settings()


@pytest.mark.parametrize(
    "content",
    [
        "[middleware",
        b"\xff\xfe",
        "a = " + "[" * 100_000,
        "a = " + "1" * 5000,
        "# " + "x" * (1 << 20),
    ],
    ids=["broken", "no UTF-8", "deep", "a long integer", "too large"],
)
def test_a_file_that_cannot_be_read_as_toml_is_named(toml: Any, content: str | bytes) -> None:
    env = toml(content)
    said = message(env)
    assert said.startswith("MIRRORPROOF_CONFIG: ")
    assert env["MIRRORPROOF_CONFIG"] in said


def test_a_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml", Path("a\0b")):
        assert str(path) in message({"MIRRORPROOF_CONFIG": str(path)})


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/zero")
def test_a_file_without_end_is_too_large_and_is_not_read_to_its_end() -> None:
    assert "1 MiB" in message({"MIRRORPROOF_CONFIG": "/dev/zero"})


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRRORPROOF_SERVICE", "from the process")
    assert Settings.load().service == "from the process"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, _, text in SHOWN if not text.endswith(".")] == []
