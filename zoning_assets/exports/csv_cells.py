"""Cells of CSV that a spreadsheet does not execute as formulas."""

#: First characters of formulas in spreadsheets (owasp.org, "CSV Injection"). An apostrophe before them makes a text.
_FORMULA = ("=", "+", "-", "@")


def safe_cell(text: str) -> str:
    """The text as one line that is not a formula. Control characters and marks of the writing direction become
    spaces."""
    line = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line
