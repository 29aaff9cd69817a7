"""Downloads, from a server that behaves like the hub, to a folder that is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_checks import (
    FILES,
    NAME,
    ON_HUB,
    SIZE,
    assert_is_right,
    assert_matches,
    error_of,
    load_file_bytes,
    write,
)
from hub_files import Fault, official_file, tiny_gpt2
from hub_server import HubServer

from numpygpt.arrays import flatten
from numpygpt.engine import gpt2
from numpygpt.models import cache as models_cache
from numpygpt.models import checkpoint, hub
from numpygpt.models.repos import OFFICIAL, HubError, Model, ModelNameError, Pin, parse_name
from numpygpt.models.tokenizer_files import load_tokenizer

pytestmark = pytest.mark.usefixtures("cache")


def test_downloads_converts_and_loads(server: HubServer, cache: Path, tmp_path: Path) -> None:
    assert models_cache.find(NAME) is None
    folder = hub.download(NAME)
    assert folder == models_cache.find(NAME) == cache / "models" / "someone--tiny-gpt2"
    assert_is_right(folder)
    assert not any((cache / ".partial").glob("*/*")), "the downloaded files are not kept beside the converted ones"

    loaded, direct = checkpoint.load(folder), checkpoint.load(write(tmp_path / "direct", FILES))
    ids = np.arange(12)
    assert np.array_equal(gpt2(ids, **loaded[1], config=loaded[0]), gpt2(ids, **direct[1], config=direct[0]))

    requests = len(server.requests)
    assert hub.download(NAME) == folder
    assert len(server.requests) == requests, "what is on disk needs no network"


def test_the_tests_file_has_the_official_layout(tmp_path: Path) -> None:
    """160 tensors, twelve of them masks, data from an odd byte on, no order; the safetensors library reads it."""
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = numpy.load(FILES["model.safetensors"])
    assert len(tensors) == 160
    assert sum(name.endswith(".attn.bias") for name in tensors) == 12
    header_bytes = int.from_bytes(FILES["model.safetensors"][:8], "little")
    assert (8 + header_bytes) % 2 == 1
    names = list(json.loads(FILES["model.safetensors"][8 : 8 + header_bytes]))[1:]
    assert names != sorted(names)
    ours = load_file_bytes(FILES["model.safetensors"], tmp_path)
    assert all(np.array_equal(tensors[name], ours[name]) for name in names)


def test_the_hubs_own_client_downloads_the_same(server: HubServer, tmp_path: Path) -> None:
    """What proves that the server is like the hub; and its cache is then used without another download."""
    pytest.importorskip("huggingface_hub")
    code = f"""import huggingface_hub as hf; print(hf.snapshot_download({NAME!r}))
hf.hf_hub_download({NAME!r}, "model.safetensors", force_download=True)
for name, revision in [("someone/none", None), ({NAME!r}, "v9")]:
    try: hf.hf_hub_download(name, "config.json", revision=revision)
    except Exception as error: print(type(error).__name__)"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    snapshot, *errors = process.stdout.split()
    assert errors == ["RepositoryNotFoundError", "RevisionNotFoundError"], process.stderr
    assert {path.name: path.read_bytes() for path in Path(snapshot).iterdir()} == FILES

    server.requests.clear()
    assert hub.download(NAME) == Path(snapshot)
    assert models_cache.verify(NAME) == Path(snapshot)
    assert len(checkpoint.load(snapshot)[1]["h"]) == 12
    assert [(model.name, model.ours) for model in models_cache.installed()] == [(NAME, False)]
    with pytest.raises(ModelNameError, match="hf cache rm"):
        models_cache.remove(NAME)
    assert not server.requests

    weights = (Path(snapshot) / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(HubError, match=r"model\.safetensors in .* changed on disk; run `hf cache rm`"):
        models_cache.verify(NAME)


@pytest.mark.slow
def test_transformers_computes_the_same_from_the_same_server(server: HubServer) -> None:
    pytest.importorskip("transformers")
    code = f"""import torch, transformers
model = transformers.GPT2LMHeadModel.from_pretrained({NAME!r})
print(*model(torch.arange(12)[None]).logits.flatten().tolist())"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    config, params, _ = checkpoint.load(hub.download(NAME + "@main", progress=False))
    expected = np.array(process.stdout.split(), np.float32).reshape(12, -1)
    np.testing.assert_allclose(gpt2(np.arange(12), **params, config=config), expected, atol=1e-4)


def test_the_command_fetches_a_model_and_writes_text(server: HubServer) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "numpygpt", "--model", NAME, "-n", "5", "Alan Turing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("Alan Turing")
    assert len(process.stdout) > len("Alan Turing\n")
    assert models_cache.find(NAME)


def test_shards_and_another_tokenizer_file(server: HubServer) -> None:
    """Weights in several files, named by an index; tokenizer.json alone; the revision of a branch."""
    merges = [line.split(" ") for line in FILES["merges.txt"].decode().splitlines()[1:]]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "added_tokens": [{"id": 306, "content": "<|endoftext|>", "special": True}],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": json.loads(FILES["vocab.json"]), "merges": merges},
    }
    header_bytes = int.from_bytes(FILES["model.safetensors"][:8], "little")
    names = list(json.loads(FILES["model.safetensors"][8 : 8 + header_bytes]))[1:]
    tensors = load_file_bytes(FILES["model.safetensors"], Path(os.environ["NUMPYGPT_HOME"]).parent)
    shards = {"model-00001-of-00002.safetensors": names[:70], "model-00002-of-00002.safetensors": names[70:]}
    server.add(
        "someone/sharded",
        {
            "config.json": FILES["config.json"],
            "tokenizer.json": json.dumps(tokenizer).encode(),
            "model.safetensors.index.json": json.dumps(
                {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
            ).encode(),
            **{shard: official_file({name: tensors[name] for name in part}) for shard, part in shards.items()},
        },
        branches=("main", "refs/pr/1"),
    )
    folder = hub.download("someone/sharded@refs/pr/1", progress=False)
    assert folder.name == "someone--sharded@refs%2Fpr%2F1"
    params = flatten(checkpoint.load(folder)[1])
    assert all(np.array_equal(params[name], tensors[name]) for name in params)
    assert [model.name for model in models_cache.installed()] == ["someone/sharded@refs/pr/1"]
    assert models_cache.find("someone/sharded") is None


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model"])
def test_a_tokenizer_of_another_kind_is_not_taken_for_gpt2s(server: HubServer, name: str) -> None:
    files = {file: content for file, content in FILES.items() if file not in ("vocab.json", "merges.txt")}
    server.add("someone/other", {**files, name: b"[PAD]\n"})
    folder = hub.download("someone/other", progress=False)
    with pytest.raises(ValueError, match=f"{name} is of another kind of tokenizer"):
        load_tokenizer(folder)


def test_a_repository_without_safetensors_says_how_to_make_them(server: HubServer) -> None:
    config = {"config.json": FILES["config.json"]}
    server.add("someone/pickled", {**config, "pytorch_model.bin": b"\x80\x02."})
    adapter = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2"}).encode()
    server.add("someone/adapter", {"adapter_config.json": adapter, "adapter_model.safetensors": b""})
    for name, message in (
        ("pickled", "has no model.safetensors. Pickles .* M.from_pretrained.'someone/pickled'.*save_pretrained"),
        (
            "adapter",
            "is an adapter .LoRA. of openai-community/gpt2, not a model; .*merge_and_unload",
        ),
    ):
        assert_matches(message, error_of(f"someone/{name}"))


def test_all_files_come_from_the_commit_that_main_pointed_to(server: HubServer, cache: Path) -> None:
    """A part of an older state of the same file is never joined with the newer one."""
    server.faults = [Fault(cut_at=SIZE // 2)]
    error_of()
    old = server.repos[NAME].commit
    (folder,) = (cache / ".partial" / "someone--tiny-gpt2").iterdir()
    assert folder.name.startswith(f"{old}.")

    server.faults = []
    newer = tiny_gpt2(seed=1)
    server.add(NAME, newer)
    server.requests.clear()
    assert_is_right(hub.download(NAME, progress=False), newer)
    assert "Range" not in server.seen()[0].headers
    revisions = {r.path.split("/")[4] for r in server.requests if "/resolve/" in r.path}
    assert revisions == {"main", server.repos[NAME].commit}


def official(server: HubServer, monkeypatch: pytest.MonkeyPatch, pins: dict[str, Pin]) -> None:
    repo = server.add("openai-community/gpt2", FILES)
    monkeypatch.setitem(OFFICIAL, "gpt2", Model("openai-community/gpt2", repo.commit, pins))


def test_official_models_have_revisions_and_checksums() -> None:
    for name, model in OFFICIAL.items():
        assert parse_name(name) == parse_name(model.repo) == model
        assert parse_name(f"{name}@{model.revision}") == model
        assert parse_name(f"{name}@main") != model
        assert re.fullmatch("[0-9a-f]{40}", model.revision or "")
        assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in model.pins.values() if pin.sha256)


def test_an_official_model_is_fetched_at_its_pinned_revision(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = server.repos[NAME].etag("model.safetensors")
    official(server, monkeypatch, {"model.safetensors": Pin(SIZE, sha256)})
    folder = hub.download("gpt2", progress=False)
    assert models_cache.find("openai-community/gpt2") == folder
    assert not [r for r in server.requests if "/resolve/main/" in r.path]


def test_another_file_under_the_name_gpt2_is_refused(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    repo = server.add("openai-community/gpt2", FILES, commit=OFFICIAL["gpt2"].revision)
    assert "offers a different config.json under the name gpt2" in error_of("gpt2")

    official(server, monkeypatch, {"model.safetensors": Pin(SIZE, "0" * 64)})
    assert "offers a different model.safetensors under the name gpt2" in error_of("gpt2")
    assert not server.seen(), "its checksum is known before the download"

    real = type(repo).etag
    lie = lambda repo, name: "0" * 64 if name == "model.safetensors" else real(repo, name)  # noqa: E731
    monkeypatch.setattr(type(repo), "etag", lie)
    assert "offers a different model.safetensors under the name gpt2" in error_of("gpt2")
    assert server.seen()
    assert not any((cache / "models").glob("*"))
    assert not list(cache.rglob("model.safetensors*")), "nothing is kept of it"


def test_an_answer_for_another_commit_is_refused(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    official(server, monkeypatch, {})
    server.repos["openai-community/gpt2"].branches = (OFFICIAL["gpt2"].revision or "",)
    server.repos["openai-community/gpt2"].commit = "a" * 40
    assert f"answers for commit {'a' * 40!r}" in error_of("gpt2")


def sent_tokens(server: HubServer, on: str) -> set[str | None]:
    return {r.headers.get("Authorization") for r in server.requests if r.on == on}


def test_the_token_opens_a_private_model_and_goes_to_the_hub_alone(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(NAME, FILES, token="hf_secret")
    assert "no such model, or a private one" in error_of()
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    assert_is_right(hub.download(NAME, progress=False))
    assert sent_tokens(server, "hub") == {None, "Bearer hf_secret"}
    assert sent_tokens(server, "content") == {None}


def test_the_token_does_not_follow_a_redirect_to_another_host(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with HubServer() as other:
        other.add(NAME, FILES)
        server.faults = [Fault("config.json", redirect=other.url + f"/{NAME}/resolve/main/config.json", **ON_HUB)]
        hub.download(NAME, progress=False)
        assert sent_tokens(server, "hub") == {"Bearer hf_secret"}
        assert sent_tokens(other, "hub") == {None}


def test_the_token_is_read_from_hugging_faces_file_and_netrc_is_not(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_from_file\n")
    hub.download(NAME, progress=False)
    assert sent_tokens(server, "hub") == {"Bearer hf_from_file"}
    assert sent_tokens(server, "content") == {None}


def test_gated_models_and_bad_tokens_are_explained(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("someone/gated", FILES, token="hf_allowed", gated=True)
    assert "accept its terms" in error_of("someone/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "accept its terms" in error_of("someone/gated")
    server.faults = [Fault("", status=401, **ON_HUB)]
    assert "your token does not open it" in error_of()
    monkeypatch.setenv("HF_TOKEN", "hf_bröken")
    assert "characters no token has" in error_of()
