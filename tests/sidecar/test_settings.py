"""Settings of the recorder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirrorproof.errors import SettingsError
from mirrorproof.settings import Settings, describe
from mirrorproof_sidecar.setting_files import read_rules, read_schemas
from mirrorproof_sidecar.settings import RecorderSettings, split_listen


def test_flags_win_over_variables_and_those_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mirrorproof.toml"
    file.write_text("[recorder]\nsettle_s = 3\nexpire_after_s = 3\nretention_s = 3\n")
    env = {"MIRRORPROOF_CONFIG": str(file), "MIRRORPROOF_SETTLE_S": "2", "MIRRORPROOF_EXPIRE_AFTER_S": "2"}

    settings = RecorderSettings.load(env, settle_s=1.0)

    assert (settings.settle_s, settings.expire_after_s, settings.retention_s) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"MIRRORPROOF_SETTLE_S": "soon"}, "MIRRORPROOF_SETTLE_S"),
        ({"MIRRORPROOF_SETTLE_S": "-1"}, "MIRRORPROOF_SETTLE_S"),
        ({"MIRRORPROOF_MATCH_SAMPLE": "1.5"}, "MIRRORPROOF_MATCH_SAMPLE"),
        ({"MIRRORPROOF_SETLE_S": "1"}, "MIRRORPROOF_SETTLE_S"),
        ({"MIRRORPROOF_LISTEN": "9600"}, "listen"),
        ({"MIRRORPROOF_LISTEN": ":9600"}, "listen"),
        ({"MIRRORPROOF_LISTEN": "::1:9600"}, "listen"),
        ({"MIRRORPROOF_LISTEN": "127.0.0.1:99999"}, "listen"),
        ({"MIRRORPROOF_LISTEN": "0.0.0.0:9600"}, "MIRRORPROOF_TOKEN"),
        ({"MIRRORPROOF_LISTEN": "recorder:9600"}, "MIRRORPROOF_TOKEN"),
        ({"MIRRORPROOF_TOKEN": "same", "MIRRORPROOF_READ_TOKEN": "same"}, "read_token"),
        ({"MIRRORPROOF_STORE": "mysql://x"}, "store"),
        ({"MIRRORPROOF_LOG_LEVEL": "LOUD"}, "log_level"),
    ],
)
def test_a_bad_setting_is_named(env: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        RecorderSettings.load(env)


def test_a_token_is_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        RecorderSettings.load({"MIRRORPROOF_TOKEN": "hush", "MIRRORPROOF_READ_TOKEN": "hush"})
    assert "hush" not in str(caught.value)


def test_beyond_loopback_a_token_is_enough() -> None:
    env = {"MIRRORPROOF_LISTEN": "0.0.0.0:9600", "MIRRORPROOF_TOKEN": "t"}
    assert RecorderSettings.load(env).listen == "0.0.0.0:9600"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:9600", "localhost:80"])
def test_loopback_needs_none(listen: str) -> None:
    assert RecorderSettings(listen=listen).token is None
    assert split_listen("[::1]:9600") == ("::1", 9600)


def test_the_middleware_knows_the_recorders_variables_as_no_mistakes() -> None:
    env = {f"MIRRORPROOF_{name.upper()}": "1" for name in RecorderSettings.__struct_fields__}
    assert Settings.load(env).service == "unknown"


def test_every_setting_says_what_it_is() -> None:
    assert all(text.endswith((".", "….")) for _, _, text in describe(RecorderSettings))


def test_rules_come_from_toml_or_json(tmp_path: Path) -> None:
    toml, plain = tmp_path / "rules.toml", tmp_path / "rules.json"
    toml.write_text('[[ignore]]\npath = "/body/a"\n')
    plain.write_text('{"ignore": [{"path": "/body/a"}]}')

    assert read_rules(str(toml)) == read_rules(str(plain))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.toml", "ignore = 1", "ignore"),
        ("r.toml", "[", "cannot be read"),
        ("r.toml", '[[ignore]]\npath = "x"', "JSON pointer"),
        ("r.json", "{", "rules"),
        ("r.json", " " * (1 << 20) + "{}", "larger than 1 MiB"),
    ],
)
def test_a_bad_file_of_rules_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match="MIRRORPROOF_RULES") as caught:
        read_rules(str(tmp_path / name))
    assert says in str(caught.value)
    with pytest.raises(SettingsError, match="MIRRORPROOF_RULES"):
        read_rules(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize(("content", "says"), [(b"nonsense", "no descriptor set"), (None, "No such file")])
def test_a_bad_descriptor_set_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "all.binpb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"MIRRORPROOF_DESCRIPTORS.*{says}"):
        read_schemas(str(path))
