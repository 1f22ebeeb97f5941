"""Failures of fetching a model: the hub, the network, the disk, a model that is not there."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure

# Of ``-hf org/repo[:quant]``, and of the programs that fetch models.
DOWNLOAD: tuple[KnownFailure, ...] = (
    KnownFailure(
        "disk_full",
        ("no space left on device", "not enough space on the disk", "disk quota exceeded"),
        r"no space left on device|not enough space on the disk|Disk quota exceeded",
        "the disk is full",
        "free some space, or put the models elsewhere (LLAMA_CACHE, HF_HOME; OLLAMA_MODELS for "
        "Ollama); in a container /dev/shm and /tmp may be small",
        "write(2), ENOSPC",
        over=("not_downloaded", "hub_unreachable", "truncated", "file_not_found"),
    ),
    KnownFailure(
        "tls_failed",
        (
            "ssl server verification failed",
            "ssl server hostname verification",
            "ssl certificate loading",
            "certificate verify failed",
            "x509: certificate",
            "https is not supported",
        ),
        r"SSL server (?:hostname )?verification failed|SSL certificate loading failed"
        r"|certificate verify failed|x509: certificate|HTTPS is not supported",
        "the certificate of the other side could not be checked",
        "install ca-certificates, or name the proxy's own certificate (SSL_CERT_FILE); a build "
        "without TLS needs a .gguf file of this machine",
        "cpp-httplib, common/http.h, Go's crypto/x509",
        over=("hub_unreachable", "not_downloaded"),
    ),
    KnownFailure(
        "split_unsupported",
        ("sharded gguf",),
        r"sharded GGUF",
        "Ollama cannot download a model that is split into several files",
        "take a quantization in one file, join the parts (llama-gguf-split --merge) and import the "
        "file, or give llama-rocm the first part: llama.cpp loads split models",
        "unslothai/unsloth#3594, ollama/ollama#5245",
    ),
    KnownFailure(
        "hub_unreachable",
        (
            "get_repo_commit: error: httplib",
            "download failed after",
            "no such host",
            "dial tcp: lookup",
            "tls handshake timeout",
            "nameresolutionerror",
            "localentrynotfounderror",
            "could not resolve host",
            "name resolution",
            "could not establish connection",
            "proxy connection failed",
            "max retries exceeded",
        ),
        r"get_repo_commit: error: HTTPLIB failed: (?P<what>.+)|download failed after \d+ attempts"
        r"|no such host|dial tcp: lookup|TLS handshake timeout|NameResolutionError"
        r"|LocalEntryNotFoundError|Could not resolve host|Temporary failure in name resolution"
        r"|Could not establish connection|Proxy connection failed|max retries exceeded",
        "the model could not be downloaded: {what}",
        "check the network and the proxy (HTTPS_PROXY, HF_ENDPOINT), or give the path of a .gguf "
        "file on this machine",
        "common/hf-cache.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "download_not_resumed",
        ("did not respond with 206 partial content",),
        r"did not respond with 206 Partial Content for a resume request. Status: (?P<what>\d+)",
        "the hub does not go on with the file that an earlier download has left (HTTP {what}): 416 "
        "if that file is whole or too long",
        "`llama-rocm models pull org/repo:quant` finishes it; or delete the *.downloadInProgress "
        "of the model in the cache (LLAMA_CACHE, HF_HUB_CACHE, ~/.cache/huggingface/hub)",
        "common/download.cpp: common_pull_file",
        over=("hub_unreachable", "not_downloaded"),
    ),
    KnownFailure(
        "no_repository",
        (
            "get_repo_commit: error: get failed",
            "(status: 40",
            "failed with status code: 40",
            "pull model manifest: file does not exist",
            "repositorynotfounderror",
            "gatedrepoerror",
        ),
        r"get_repo_commit: error: GET failed \((?P<what>40[134])\)|download failed: .*\(status: "
        r"(?P<status>40[134])\)|failed with status code: (?P<code>40[134])"
        r"|pull model manifest: file does not exist|RepositoryNotFoundError|GatedRepoError",
        "the hub refuses the repository (HTTP {what}): it does not exist, or is not public",
        "check the spelling of org/repo; for a private or gated one accept its terms and set "
        "HF_TOKEN",
        "common/hf-cache.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "no_file_in_repository",
        ("no gguf files found in repository", "' not found in repository"),
        r"no GGUF files found in repository (?P<what>\S+)"
        r"|file '(?P<file>[^']+)' not found in repository",
        "the repository {what} has no GGUF file of that quantization",
        "name one that it has (org/repo:QUANT), or none; the log lists its files",
        "common/download.cpp",
        over=("not_downloaded",),
    ),
    KnownFailure(
        "not_downloaded",
        ("exactly one out metadata", "'(not downloaded)'", "not available in cache"),
        r"exactly one out metadata, path_model, and file must be defined"
        r"|required file is not available in cache"
        r"|failed to open GGUF file '\(not downloaded\)'",
        "the model is not on this machine, and was not downloaded",
        "allow the download (without --offline), or give the path of a .gguf file on this machine",
        "llama-model-loader.cpp; the path that the embedded engine gives a download",
        over=("file_not_found",),
    ),
    KnownFailure(
        "program_too_old",
        (
            "requires a newer version of",
            "supported by your version of",
            "please update lm studio",
            "you may need to upgrade",
        ),
        r"requires a newer version of (?P<what>[\w ]+\w)|supported by your version of (?P<of>\w+)"
        r"|please update LM Studio|You may need to upgrade",
        "this version of {what} is older than the model",
        "update the program (in a container pull the image again), or take an older model",
        "Ollama's registry (HTTP 412), ollama/ollama#9680",
        over=("not_downloaded", "no_repository"),
    ),
)
