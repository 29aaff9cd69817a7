"""The command `python -m numpygpt.models`: which models are on this disk, and getting, checking and removing them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from numpygpt.arrays import flatten
from numpygpt.command_line import Parser, friendly_exit, number
from numpygpt.config import GPT2Config
from numpygpt.models import cache, checkpoint, marian
from numpygpt.models.cache import COMMAND, installed, size
from numpygpt.models.names import find_embedded, find_or_download, trained
from numpygpt.models.repos import EMBEDDED, OFFICIAL, HubError, ModelNameError
from numpygpt.models.stored import find_tensors
from numpygpt.transformer_config import TransformerConfig


def list_models() -> None:
    """Print a line for every model, and which official ones are missing."""
    models = installed()
    lines = [(name, folder, "comes along") for name in EMBEDDED if (folder := find_embedded(name))]
    lines += [(model.name, model.folder, "" if model.ours else "in Hugging Face's cache") for model in models]
    lines += [(str(folder), folder, "trained here") for folder in trained()]
    width = max((len(name) for name, _, _ in lines), default=0)
    for name, folder, whose in lines:
        where = whose if name == str(folder) else f"{folder}  {whose}".rstrip()
        print(f"{name:{width}}  {size(cache.bytes_of(folder)):>8}  {where}")
    for folder in cache.subfolders(cache.cache_dir() / cache.PARTIAL):
        if begun := cache.bytes_of(folder):
            print(f"{unquote(folder.name.replace('--', '/', 1))}: begun, {size(begun)}; `download` goes on with it")
    missing = [name for name in OFFICIAL if name not in {model.name for model in models}]
    if missing:
        print(f"not on this disk: {', '.join(missing)}; to get one: {COMMAND} download {missing[0]}")


def show(name: str) -> None:
    """Print the shape of a model, on disk by its name or in a folder of its own, and where it is."""
    folder = find_or_download(name)
    config: GPT2Config | TransformerConfig
    if marian.is_marian(folder):
        config, params = marian.load(folder)
        sizes = [tensor.size for tensor in flatten(params).values()]
    else:
        config = checkpoint.load_config(folder)
        sizes = [file[stored].size for file, stored in find_tensors(folder, config).values()]
    print(f"{name}: {folder}")
    print(f"{sum(sizes):,} parameters in {len(sizes)} tensors")
    for option, value in vars(config).items():
        print(f"  {option}: {value}")


def download(name: str) -> None:
    """Fetch a model and print its folder."""
    from numpygpt.models import hub

    print(f"{name}: {find_embedded(name) or hub.download(name)}")


def refuse_embedded(name: str | None) -> None:
    """Raise ModelNameError for a model that is part of the package."""
    if name in EMBEDDED:
        raise ModelNameError(f"{name} comes along with the package: pip verifies and removes it")


def verify(name: str | None) -> None:
    """Compare the files of one model, or of all, with their checksums."""
    refuse_embedded(name)
    names, damaged = [name] if name else [model.name for model in installed()], []
    for each in names:
        try:
            print(f"{each}: every checksum is right ({cache.verify(each)})", flush=True)
        except ModelNameError:
            raise
        except HubError as error:
            damaged.append(str(error))
    if damaged:
        raise HubError("; ".join(damaged))
    if not names:
        print("no model is on this disk")


def remove(name: str) -> None:
    """Delete a model."""
    refuse_embedded(name)
    print(f"{name}: removed, {size(cache.remove(name))} freed")


def convert(source: str, destination: str, n_head: int | None = None) -> None:
    """Convert a model folder, or a safetensors file with a GPT-2's tensors."""
    config = checkpoint.convert(source, destination, n_head=n_head)
    shape = f"n_layer {config.n_layer}, n_head {config.n_head}, activation {config.activation_function}"
    print(f"{destination}: converted from {source} ({shape})")


ACTIONS: dict[str, tuple[Callable[..., None], tuple[int, int]]] = {  # and how many names it takes
    "list": (list_models, (0, 0)),
    "show": (show, (1, 1)),
    "download": (download, (1, 1)),
    "verify": (verify, (0, 1)),
    "convert": (convert, (2, 2)),
    "remove": (remove, (1, 1)),
}


def main(argv: list[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = Parser(
        COMMAND,
        "Models: what is on this disk, and getting more from the Hugging Face hub.\n\n"
        "  list            models on disk, with sizes and folders (the default)\n"
        "  show NAME       the shape of a model, or of a model folder, and where it is\n"
        "  download NAME   fetch a model, verify and convert it; run it again after any interruption\n"
        "  verify [NAME]   compare the files of one model, or of all, with their checksums\n"
        "  convert FROM TO rewrite a model folder so that it loads without a copy: plain names, no masks,\n"
        "                  float32, aligned; `transformers` opens the result as well. FROM may also be\n"
        "                  a safetensors file, or nanoGPT's, with --n-head where no config.json says it\n"
        "  remove NAME     delete a model, or what there is of an interrupted download",
        f"NAME is {', '.join(OFFICIAL)}, or OWNER/NAME[@REVISION] of any GPT-2 or Marian on the hub.\n\n"
        f"examples: {COMMAND} download gpt2\n"
        '          python -m numpygpt --model gpt2 "Alan Turing theorized that"\n'
        f"          {COMMAND} convert downloads/gpt2 gpt2-converted\n\n"
        "environment: HF_ENDPOINT (a mirror), HF_TOKEN (for private models), HF_HUB_OFFLINE=1 (no network),\n"
        f"             HTTPS_PROXY, NUMPYGPT_HOME (where models go; now {cache.cache_dir()})",
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a model, or for convert two folders")
    parser.add_argument("--n-head", type=number(int, 1), metavar="N", help="for convert: the number of attention heads")
    options = parser.parse_args(argv)
    action, (fewest, most) = ACTIONS[options.action]
    if not fewest <= len(options.names) <= most:
        wanted = {0: "no name", 1: "the NAME of a model, such as gpt2", 2: "two folders, FROM and TO"}[most]
        parser.error(f"{options.action} takes {wanted}")
    if options.n_head is not None and options.action != "convert":
        parser.error("--n-head goes with convert alone")
    more = {} if options.n_head is None else {"n_head": options.n_head}
    with friendly_exit(parser.prog):
        action(*options.names or [None] * (most - fewest), **more)


if __name__ == "__main__":
    main()
