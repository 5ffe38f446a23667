"""The layout of a message; a module without imports, since the first thing a program does may be to say one."""

from __future__ import annotations


def message(code: str, what: str, where: str = "", evidence: str = "", next_command: str = "") -> str:
    """Lay out the four parts of a message, one a line; empty parts are left out."""
    lines = [f"{code}: {what}"]
    for label, text in (("where", where), ("evidence", evidence), ("next", next_command)):
        if text:
            lines.append(f"  {label + ':':<10}{text}")
    return "\n".join(map(printable, "\n".join(lines).split("\n")))


def printable(text: str) -> str:
    """Return a line in which nothing moves the cursor or cannot be encoded: names in foreign files hold anything."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
