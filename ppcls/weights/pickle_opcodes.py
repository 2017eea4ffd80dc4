"""A pickle's instructions, looked through before any of them is obeyed."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any, BinaryIO, Dict, List

# So many objects no file of weights has, with all that they refer to counted each time. A few hundred bytes can mean
# more than fits the universe: a tuple of twice the same tuple, and so on. Hashing or printing that never ends.
_LARGEST = 10_000_000
_MARK = 0


class RefusedError(Exception):
    """A pickle asks for something that weights have no use for."""


def shown(text: Any) -> str:
    """Return a name out of a file for a message: short, and without characters that would steer a terminal."""
    if not isinstance(text, str):
        return type(text).__name__
    text = text if len(text) <= 100 else f"{text[:100]}..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def check_instructions(file: BinaryIO) -> None:
    """Refuse instructions that fill memory, never end, or leave the allow-list aside; leave the file where it was.

    Raises:
        RefusedError: objects registered with copyreg are asked for.
        Exception: one of ``DAMAGED``, if it is no valid pickle or a bomb.
    """
    start = file.tell()
    stack: List[int] = []  # of each object, how many objects it refers to
    memo: Dict[int, int] = {}
    instruction: pickletools.OpcodeInfo
    argument: Any
    for index, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        name = instruction.name
        if name.startswith("EXT"):
            raise RefusedError("an object registered with copyreg")
        if name.endswith("PUT") or name == "MEMOIZE":
            place = len(memo) if name == "MEMOIZE" else int(argument)
            if place > index:
                raise pickle.UnpicklingError("a table of references larger than the file")
            memo[place] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo.get(int(argument), 1))
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            size = 1 + _taken(stack, instruction.stack_before)
            if size > _LARGEST:
                raise pickle.UnpicklingError("objects that refer to each other beyond reason")
            stack.extend(size for _ in instruction.stack_after)
    file.seek(start)


def _taken(stack: List[int], operands: List[Any]) -> int:
    """Take an instruction's operands from the stack; return how many objects they refer to."""
    total, count = 0, len(operands)
    if pickletools.markobject in operands:
        count = operands.index(pickletools.markobject)
        while True:
            size = stack.pop()
            if size == _MARK:
                break
            total += size
    return total + sum(stack.pop() for _ in range(count))
