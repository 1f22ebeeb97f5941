"""How a program ended, by the number or signal that another one writes into its log. Pure.

Front ends say an end in many forms: ``exit status 0xc0000005``, ``exit_code=Some(-1073741819)``,
``ExitStatus(unix_wait_status(6))``, ``code=dumped, signal=SEGV``, ``exited with code -4``.
"""

from __future__ import annotations

import re

# A line with an exit code has one of them, in lower case.
EXIT_KEYS = ("exit", "terminated", "signal", "status=", "crashed", "returned", "0xc0", "code ")

_WORDS = (
    r"[ :=(\[,'\"#]|Some|ExitStatus|(?P<wait>unix_wait_status)|unexpectedly|prematurely|abnormally"
    r"|with|by|errno|code|status|signal|non-zero|return(?:ed)?|value|llama-server|process|error|exit"
)
_NUMBER = re.compile(
    r"\b(?:(?P<bare>error code)|exit(?:ed|s)?|exit[_-]?(?:code|status)|terminated"
    r"|ended|died|crashed|returned|quit)"
    rf"(?:{_WORDS}){{1,14}}(?P<code>0x[\da-f]{{8}}|-?\d{{1,20}})\b(?![.:]\d)",
    re.IGNORECASE,
)
# systemd, and programs that name the signal alone.
_SIGNAL = re.compile(
    r"\bcode=(?:killed|dumped), (?:signal|status)=(?:\d+/)?(?:SIG)?(?P<systemd>[A-Z]+)"
    r"|\bkilled by (?:signal )?(?:SIG)?(?P<name>ILL|ABRT|SEGV|BUS|FPE|KILL)\b"
    r"|\bsignal[ :=]+(?P<number>\d{1,2})\b",
)
_NTSTATUS = re.compile(r"\b(?P<code>0xc0[\da-f]{6})\b", re.IGNORECASE)
_BY_SIGNAL = {
    4: "illegal_instruction",
    6: "aborted",
    7: "crashed",
    8: "crashed",
    9: "killed",
    11: "crashed",
}
_BY_NAME = {"ILL": 4, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "SEGV": 11}
# Windows: NTSTATUS values (ntstatus.h), and those of Visual C++'s runtime.
_BY_NTSTATUS = {
    0xC0000005: "crashed",  # access violation
    0xC0000006: "read_failed",  # in-page error
    0xC0000017: "out_of_memory",
    0xC000001D: "illegal_instruction",
    0xC0000022: "program_not_executable",  # access denied
    0xC000007B: "broken_library",  # an image for another processor
    0xC0000094: "crashed",  # division by zero
    0xC0000096: "illegal_instruction",  # privileged instruction
    0xC00000FD: "crashed",  # stack overflow
    0xC000012D: "out_of_memory",  # commitment limit
    0xC0000135: "missing_dll",
    0xC0000139: "mixed_dlls",
    0xC0000142: "dll_init_failed",
    0xC0000374: "crashed",  # heap corruption
    0xC0000409: "aborted",
    0xC06D007E: "missing_dll",  # delay-loaded
    0xC06D007F: "mixed_dlls",
    0xE06D7363: "uncaught_error",
    0x80000003: "aborted",  # breakpoint
}
# Words of a program that runs models: its end says something whatever the code.
_RUNS_MODELS = re.compile(
    r"llama|server|runner|backend|engine|inference|model|upstream|instance", re.IGNORECASE
)


def row_of_code(code: int) -> str:
    """Return the row that an exit code stands for: empty if it says only that there was an error.

    Args:
        code: as a program printed it: signed or not, of 32 or 64 bits, or minus a signal number,
            or 128 plus one as a shell says it.
    """
    if -64 < code < 0:
        return _BY_SIGNAL.get(-code, "")
    if 128 < code < 192:
        return _BY_SIGNAL.get(code - 128, "")
    if code in (126, 127):
        return "program_not_executable" if code == 126 else "missing_library"
    if code >= 1 << 53:
        return _of_rounded(code)
    return _BY_NTSTATUS.get(code & 0xFFFFFFFF, "") if abs(code) > 1 << 16 else ""


def _as_double(status: int) -> float:
    return float(status - (1 << 32) + (1 << 64))


def _of_rounded(code: int) -> str:
    # JavaScript keeps 53 bits of a signed number that it took for an unsigned one of 64 bits.
    same = (name for one, name in _BY_NTSTATUS.items() if _as_double(one) == float(code))
    return next(same, "")


def row_of_end(line: str) -> str:
    """Return the row that a line's exit code or signal stands for; empty if it has none.

    ``runner_ended`` for another code than 0 of a program that runs models.
    """
    for match in _SIGNAL.finditer(line):
        name = match["systemd"] or match["name"]
        number = int(match["number"]) if match["number"] else _BY_NAME.get(name or "", 0)
        if number in _BY_SIGNAL:
            return _BY_SIGNAL[number]
    ended = ""
    for match in _NUMBER.finditer(line):
        code = int(match["code"], 0) if match["code"][:2] == "0x" else int(match["code"])
        if match["wait"] and code:
            code = -(code & 0x7F) if code & 0x7F else code >> 8
        if row := row_of_code(code):
            return row
        if code and not match["bare"] and _RUNS_MODELS.search(line):
            ended = "runner_ended"
    if status := _NTSTATUS.search(line):
        return row_of_code(int(status["code"], 16)) or ended
    return ended
