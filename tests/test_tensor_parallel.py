"""Several processes decode what one does; whatever becomes of helpers, the text is right and none is left behind."""

from __future__ import annotations

import dataclasses
import gc
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import REFERENCE, random_params, transformers_model

from numpygpt import GPT2, GPT2Config, gpt2, tensor_parallel
from numpygpt.generate import generate
from numpygpt.layers import Array
from numpygpt.model import KVCache, Params
from numpygpt.tensor_parallel import LentCache, SharedMemory, Team, Worker, share_of

pytestmark = pytest.mark.skipif(
    not tensor_parallel.POSSIBLE or len(os.sched_getaffinity(0)) < 2, reason="needs Linux on x86-64 and two cores"
)
TINY = REFERENCE / "tiny"
PROMPT = "Once upon a time"
CONFIG = GPT2Config(vocab_size=101, n_ctx=16, n_embd=40, n_layer=2, n_head=5, n_inner=70)


@pytest.fixture
def pair() -> Iterator[GPT2]:
    """The reference model in two processes."""
    model = GPT2.from_pretrained(TINY, n_processes=2)
    yield model
    team_of(model).close()


def team_of(model: GPT2) -> Team:
    assert model.team
    return model.team


def n_together(model: GPT2) -> int:
    """How many tokens the processes have decoded together."""
    return int(team_of(model)._memory.order[0])


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("not within 10 seconds")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def decode_in_threads(params: Params, config: GPT2Config, ids: list[int], world_size: int) -> Array:
    """Decode ids one by one, with a thread for every process: logits [n_seq, n_vocab]."""
    file_descriptor = os.memfd_create("test")
    memories = [SharedMemory(file_descriptor, config, world_size) for _ in range(world_size)]
    os.close(file_descriptor)
    logits: list[Array] = []

    def work(rank: int) -> None:
        worker = Worker(params, config, memories[rank], rank, world_size, waiting=lambda: time.sleep(0))
        for position, token_id in enumerate(ids):
            worker.decode(token_id, position)
            if rank == 0:
                logits.append(memories[rank].logits.copy())
            worker.barrier()  # so that nobody writes the next logits before

    others = [threading.Thread(target=work, args=(rank,)) for rank in range(1, world_size)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()
    return np.array(logits)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation_function": "gelu"},
        {"scale_attn_by_inverse_layer_idx": True, "layer_norm_epsilon": 1e-3},
        {"scale_attn_weights": False, "tie_word_embeddings": False, "n_inner": None},
    ],
)
def test_shares_of_every_matrix_add_up_to_the_model(
    options: dict[str, Any], world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_parallel, "LOOKS", 1)  # threads of one process get ahead only when another lets them
    config = dataclasses.replace(CONFIG, **options)
    params = random_params(config)
    ids = [5, 100, 0, 5, 17, 42]
    logits = decode_in_threads(params, config, ids, world_size)
    np.testing.assert_allclose(logits, gpt2(ids, **params, config=config), rtol=0, atol=2e-5)


def test_the_shares_give_the_logits_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_parallel, "LOOKS", 1)
    torch = pytest.importorskip("torch")
    params = random_params(CONFIG)
    ids = [3, 1, 4, 1, 59, 26, 5]
    expected = transformers_model(CONFIG, params)(torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(decode_in_threads(params, CONFIG, ids, 3), expected, rtol=0, atol=1e-4)


def test_all_is_shared_out_once() -> None:
    for n in (0, 1, 12, 25, 50257):
        for world_size in (1, 2, 3, 7):
            shares = [range(n)[share_of(n, share, world_size)] for share in range(world_size)]
            assert [i for share in shares for i in share] == list(range(n))


def test_two_processes_write_what_one_writes(pair: GPT2, tiny: GPT2) -> None:
    assert pair.generate(PROMPT) == tiny.generate(PROMPT)
    assert n_together(pair) > 10
    for options in (
        {"top_k": 5, "seed": 1},
        {"temperature": 0.7, "top_p": 0.9, "seed": 2},
        {"repetition_penalty": 2.0},
    ):
        assert pair.generate(PROMPT, **options) == tiny.generate(PROMPT, **options)
    assert "".join(pair.stream(PROMPT)) == tiny.generate(PROMPT)


def test_they_come_to_the_end_of_the_context_window(pair: GPT2, tiny: GPT2) -> None:
    options: dict[str, Any] = {"max_new_tokens": 1000, "top_k": 3, "seed": 4}
    assert pair.generate("a", **options) == tiny.generate("a", **options)


def test_several_sequences_and_guesses_are_left_to_one_process(pair: GPT2, tiny: GPT2) -> None:
    prompts = [PROMPT, "The dog", ""]
    assert pair.generate(prompts) == tiny.generate(prompts)
    assert n_together(pair) == 0
    options: dict[str, Any] = {"num_return_sequences": 3, "top_k": 20, "seed": 0}
    assert pair.generate(PROMPT, **options) == tiny.generate(PROMPT, **options)
    assert pair.generate(PROMPT, prompt_lookup_num_tokens=4) == tiny.generate(PROMPT)


def test_a_cache_whose_rows_were_selected_is_no_longer_shared(pair: GPT2) -> None:
    team = team_of(pair)
    cache = team.cache((1,))
    plain = KVCache(pair.config, (1,))
    assert isinstance(cache, LentCache)
    for ids in ([[1, 2, 3]], [[4]]):
        ours = team.gpt2(ids, cache=cache, logits_to_keep=1)
        expected = gpt2(ids, **pair.params, config=pair.config, cache=plain, logits_to_keep=1)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert n_together(pair) == 1
    for each in (cache, plain):
        each.select([0, 0])
        each.select([1])
    ours = team.gpt2([[5]], cache=cache)
    np.testing.assert_allclose(ours, gpt2([[5]], **pair.params, config=pair.config, cache=plain), rtol=0, atol=1e-5)
    assert n_together(pair) == 1


def test_a_cache_longer_than_the_context_window_is_not_shared(pair: GPT2) -> None:
    assert team_of(pair).cache(n_ctx=pair.config.n_ctx + 1).n_ctx == pair.config.n_ctx + 1


def test_two_texts_at_a_time_do_not_mix(pair: GPT2, tiny: GPT2) -> None:
    first, second = pair.stream(PROMPT), pair.stream("The dog")
    pieces: tuple[list[str], list[str]] = ([], [])
    for one, other in zip(first, second, strict=False):
        pieces[0].append(one)
        pieces[1].append(other)
    for some, prompt in zip(pieces, (PROMPT, "The dog"), strict=True):
        assert len(some) > 1
        assert str(tiny.generate(prompt)).startswith("".join(some))


def test_logits_are_the_caller_s_own(pair: GPT2) -> None:
    team = team_of(pair)
    cache = team.cache()
    first = team.gpt2([7], cache=cache)
    kept = first.copy()
    team.gpt2([8], cache=cache)
    assert n_together(pair) == 2
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(("ids", "error"), [([512], ValueError), ([-1], ValueError), ([1.0], TypeError)])
def test_a_wrong_id_is_refused_as_by_one_process(pair: GPT2, ids: Any, error: type[Exception]) -> None:
    team = team_of(pair)
    with pytest.raises(error, match="token id"):
        team.gpt2(ids, cache=team.cache())


def test_a_full_cache_is_refused(pair: GPT2) -> None:
    team = team_of(pair)
    cache = team.cache()
    team.gpt2(np.arange(pair.config.n_ctx), cache=cache)
    with pytest.raises(ValueError, match="do not fit"):
        team.gpt2([0], cache=cache)


def test_helpers_sleep_between_texts_and_wake(pair: GPT2, tiny: GPT2) -> None:
    expected = tiny.generate(PROMPT)
    assert pair.generate(PROMPT) == expected
    [helper] = team_of(pair).helpers
    stat = Path(f"/proc/{helper.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
    n_before = n_together(pair)
    assert pair.generate(PROMPT) == expected
    assert n_together(pair) == 2 * n_before


def test_without_its_helper_a_process_goes_on(pair: GPT2, tiny: GPT2) -> None:
    text = pair.stream(PROMPT)
    start = next(text) + next(text)
    [helper] = team_of(pair).helpers
    helper.kill()
    with pytest.warns(RuntimeWarning, match="helper process has ended with status -9; going on with one process"):
        rest = "".join(text)
    assert start + rest == tiny.generate(PROMPT) == pair.generate(PROMPT)


def test_a_helper_that_cannot_load_is_done_without(tiny: GPT2, tmp_path: Path) -> None:
    team = Team(tmp_path, tiny.params, tiny.config, 2)
    with pytest.warns(RuntimeWarning, match="status 1"):
        *_, [ours] = generate([[1, 2]], tiny.params, tiny.config, max_new_tokens=9, team=team)
    *_, [expected] = generate([[1, 2]], tiny.params, tiny.config, max_new_tokens=9)
    assert ours.ids == expected.ids


def test_ctrl_c_in_the_middle_of_a_token_ends_the_team(pair: GPT2, tiny: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    [helper] = team_of(pair).helpers
    calls: list[int] = []

    def interrupt(*_: Any, **__: Any) -> Array:
        calls.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "mlp", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pair.generate(PROMPT)
    assert calls
    assert not is_running(helper.pid)
    assert pair.generate(PROMPT) == tiny.generate(PROMPT)


def test_helpers_end_with_the_model(tiny: GPT2) -> None:
    model = GPT2.from_pretrained(TINY, n_processes=2)
    assert model.generate(PROMPT) == tiny.generate(PROMPT)
    [helper] = team_of(model).helpers
    assert is_running(helper.pid)
    del model
    gc.collect()
    assert not is_running(helper.pid)


@pytest.mark.parametrize("when", ["asleep", "at work"])
def test_helpers_end_with_the_process_however_it_ends(when: str) -> None:
    code = (
        "import sys, time; from numpygpt import GPT2\n"
        "model = GPT2.from_pretrained(sys.argv[1], n_processes=2); model.generate('a')\n"
        "print(model.team.helpers[0].pid, flush=True)\n"
        "while sys.argv[2] == 'at work': model.generate('a')\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(TINY), when], stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        time.sleep(0.1)
        assert is_running(pid)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_leaves_the_helpers_to_its_parent(pair: GPT2, tiny: GPT2) -> None:
    expected = tiny.generate(PROMPT)
    assert pair.generate(PROMPT) == expected
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            is_right = pair.generate(PROMPT) == expected
            team_of(pair).close()
            status = 0 if is_right else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    n_before = n_together(pair)
    assert pair.generate(PROMPT) == expected
    assert n_together(pair) > n_before


def test_several_threads_may_use_the_model(pair: GPT2, tiny: GPT2) -> None:
    prompts = ["a", "The dog", PROMPT, "b"]
    texts: dict[str, Any] = {}
    users = [
        threading.Thread(target=lambda prompt=prompt: texts.update({prompt: pair.generate(prompt)}))
        for prompt in prompts
    ]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert texts == {prompt: tiny.generate(prompt) for prompt in prompts}


@pytest.mark.parametrize("n_processes", [0, -1, 1000])
def test_more_processes_than_cores_are_refused(n_processes: int) -> None:
    with pytest.raises(ValueError, match=f"{n_processes} processes cannot share this model out"):
        GPT2.from_pretrained(TINY, n_processes=n_processes)


def test_more_processes_than_heads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    with pytest.raises(ValueError, match="it has 5 heads"):
        Team(TINY, random_params(CONFIG), CONFIG, 6)


def test_other_platforms_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_parallel, "POSSIBLE", False)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OSError, match="need Linux on x86-64, not linux on aarch64; use one"):
        GPT2.from_pretrained(TINY, n_processes=2)


def test_the_command_line_takes_the_number(tiny: GPT2) -> None:
    command = [sys.executable, "-m", "numpygpt", "--model", str(TINY), "--no-prompt", "--processes"]
    result = subprocess.run([*command, "2", PROMPT], capture_output=True, text=True, timeout=60, check=True)
    assert (result.stdout, result.stderr) == (f"{tiny.generate(PROMPT)}\n", "")
    for number, message in (("0", "'0' is not a whole number of at least 1"), ("1000", "1000 processes cannot share")):
        result = subprocess.run([*command, number, PROMPT], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
