"""The screen of a terminal: what a person reads after a program has moved the cursor and written over lines."""

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")
_HEIGHT = 50


class Screen:
    """Lines of a fixed width. Cursor up and erase line are the commands that Rich uses; others change no text."""

    def __init__(self, width: int) -> None:
        self._width, self._row, self._column = width, 0, 0
        self._cells: list[list[str]] = [[]]

    @property
    def lines(self) -> list[str]:
        """The lines, without spaces at their ends."""
        return ["".join(cells).rstrip() for cells in self._cells]

    def write(self, text: str) -> None:
        """Show what a program wrote."""
        for token in _TOKEN.finditer(text):
            self._show(token[0], token[1], token[2])

    def _show(self, character: str, number: str | None, command: str | None) -> None:
        if command == "A":
            self._row = max(0, self._row - int(number or 1))
        elif command == "K":
            self._cells[self._row] = []
        elif character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif not command:
            self._put(character)

    def _down(self) -> None:
        self._row += 1
        while len(self._cells) <= self._row:
            self._cells.append([])

    def _put(self, character: str) -> None:
        if self._column == self._width:
            self._column = 0
            self._down()
        cells = self._cells[self._row]
        cells += " " * (self._column + 1 - len(cells))
        cells[self._column] = character
        self._column += 1


class OnScreen:
    """A program whose stdout and stderr are a terminal of a width. `screen`: what it shows now."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], width: int) -> None:
        self.screen = Screen(width)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _HEIGHT, width, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, "TERM": "xterm"}
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:  # Linux, when nobody has the other end open any more
                return
            if not piece:
                return
            self.screen.write(decoder.decode(piece))

    def end(self) -> int:
        """Wait for the end of the program, and of all that it wrote; its exit status."""
        status = self.process.wait(120)
        self._reader.join(10)
        os.close(self._ours)
        return status
