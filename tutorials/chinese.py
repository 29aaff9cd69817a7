"""The Chinese pages, in `zh/`: written anew, with the code blocks of the English pages, letter by letter.

    python -m tutorials.chinese [--check]

puts the blocks of every English page into its Chinese twin, in their order, lets links lead to Chinese pages, and shows
the pictures with Chinese words where there are any; `--check` only says which pages are stale, and ends with status 1.
Where a new page wants block 3, counted from 0, write `@@3@@` on a line of its own. A block that the English page does
not have stands below a line `<!-- only here -->`, and runs as a doctest.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from numpygpt.files import atomic_write

FOLDER = Path(__file__).parent / "zh"
OWN = "<!-- only here -->\n"
LINK = re.compile(r"\]\((?:\.\./)?([\w-]+\.md)(?=[)#])")
PICTURE = re.compile(r"(?<=\]\()\.\./(figures/\w+)(?:\.zh)?\.svg(?=\))")
FENCE = re.compile(rf"(?P<own>{OWN})?^```.*?^```$|^@@(?P<number>\d+)@@$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return the Chinese pages."""
    return sorted(FOLDER.glob("*.md"))


def english(page: Path) -> Path:
    """Return the English twin of a Chinese page."""
    return FOLDER.parent / page.name


def blocks(text: str) -> list[str]:
    """Return the fenced blocks of a page, without those that it alone has."""
    return [found[0] for found in FENCE.finditer(text) if not found["own"]]


def refreshed(text: str, there: list[str]) -> str:
    r"""Return a Chinese page with the blocks of the English one, in their order.

    >>> print(refreshed("你好：\n\n@@0@@\n\n再见：\n\n```text\nold\n```", ["```text\nHello\n```", "```text\nnew\n```"]))
    你好：
    <BLANKLINE>
    ```text
    Hello
    ```
    <BLANKLINE>
    再见：
    <BLANKLINE>
    ```text
    new
    ```
    """
    used = 0

    def put(found: re.Match[str]) -> str:
        nonlocal used
        if found["own"]:
            return found[0]
        if found["number"] not in (None, str(used)) or used == len(there):
            raise ValueError(f"{found[0][:40]!r} stands where block {used} of {len(there)} should")
        used += 1
        return there[used - 1]

    new = FENCE.sub(put, text)
    if used < len(there):
        raise ValueError(f"block {used} of {len(there)} is missing: {there[used][:60]!r}")
    title, english, *rest = PICTURE.sub(picture, new).split("\n\n", 2)
    return "\n\n".join([title, english, *(LINK.sub(r"](\1", part) for part in rest)])


def picture(found: re.Match[str]) -> str:
    """Return where a page's picture is: the one with Chinese words, if it has any."""
    twin = f"../{found[1]}.zh.svg"
    return twin if (FOLDER / twin).is_file() else f"../{found[1]}.svg"


def main() -> None:
    """Put the blocks into the Chinese pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; end with status 1 if a page is stale")
    options = parser.parse_args()
    stale = 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        try:
            new = refreshed(text, blocks(english(page).read_text(encoding="utf-8")))
        except ValueError as error:
            sys.exit(f"{page}: {error}")
        if new != text:
            stale += 1
            print(f"{page}: {'stale' if options.check else 'written'}")
            if not options.check:
                with atomic_write(page) as file:
                    file.write(new.encode())
    if options.check and stale:
        sys.exit("run python -m tutorials.chinese")


if __name__ == "__main__":
    main()
