"""What a text is once CLIP's tokenizer has repaired it: one notion of clean, and of blank."""

from __future__ import annotations

import html
import re
import unicodedata

import ftfy

# Printable ASCII and common white space without "&" and "<": nothing there needs repair.
_PLAIN = re.compile(r"[ \t\n\r!-%'-;=-~]*")
_UNSEEN = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))  # control, format, spaces and separators


def clean_text(text: str) -> str:
    """A text as open_clip's tokenizer reads it, before it lower-cases.

    Wrong encodings and HTML entities are repaired and white space is folded. This has to come
    before lower-casing: "CAFÃ‰" in lower case can no longer be repaired.
    """
    if not _PLAIN.fullmatch(text):
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split())


def without_addresses(message: str) -> str:
    """A library's message without places in memory: they differ in every run and help nobody."""
    return re.sub(r" ?<[^<>]* at 0x[0-9a-fA-F]+>", "", message)


def lines_of(text: str) -> list[str]:
    """The lines of a text file: ends of lines alone part them.

    `str.splitlines` would also part a caption at the separators that Unicode has inside of texts.
    """
    return re.split(r"\r\n|\r|\n", text)


def is_blank(text: str) -> bool:
    """Whether nothing can be seen: empty, white space, `&nbsp;`, byte-order marks, zero width."""
    return all(unicodedata.category(letter) in _UNSEEN for letter in clean_text(text))
