"""Failures of reaching the device files: permissions, containers, cards that the kernel refuses."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import CONTAINER, GROUPS, KnownFailure

KERNEL: tuple[KnownFailure, ...] = (
    KnownFailure(
        "pcie_atomics",
        ("pci rejects atomics", "pcie atomics", "pcie atomic ops"),
        r"skipped device (?P<what>[\da-f]{4}:[\da-f]{4}), *PCI rejects atomics"
        r"|PCIe atomic(?:s| ops) (?:is |are )?not supported",
        "the kernel leaves the card {what} out of ROCm: its PCIe slot has no atomic operations",
        "put the card into a slot that is wired to the CPU, not through the chipset, a riser or "
        "Thunderbolt; a Vulkan build needs no atomics and works in that slot",
        "Linux kfd_device.c; ROCm/legacy-rocm-build#1214, #910 and #760 there",
    ),
    KnownFailure(
        "card_unsupported_by_kernel",
        ("kfd not supported on this asic", "not supported in kfd"),
        r"kfd not supported on this ASIC",
        "the kernel's compute driver does not support this card",
        "update the kernel; if the card is older than gfx803, use a Vulkan build",
        "Linux kfd_device.c",
    ),
    KnownFailure(
        "gpu_hang",
        (
            "mes failed to respon",
            "gpu hang",
            "gpu reset",
            "device wedged",
            " timeout",
            "killed entity",
            "queue evicted",
            "failed to initialize parser -125",
            "vram is lost",
        ),
        r"MES failed to respon(?:d|se)|GPU Hang|amdgpu.*GPU reset(?: begin|\(\d+\) )"
        r"|device wedged, but recovered|push to a killed entity|queue evicted"
        r"|failed to initialize parser -125|VRAM is lost"
        r"|amdgpu.*\bring \S+ timeout|\*ERROR\* ring \S+ timeout",
        "the GPU's firmware stopped answering and the driver reset it",
        "update kernel and linux-firmware; on gfx1150 and gfx1151 avoid MES firmware 0x83; with "
        "Vulkan lower the batch (extra_args=['-ub', '256'])",
        "ROCm/legacy-rocm-build#5151, #5724 and #6598 there, ggml-org/llama.cpp#21724",
        over=("gpu_firmware_missing",),
    ),
    KnownFailure(
        "gpu_firmware_missing",
        ("direct firmware load for amdgpu", "failed to load firmware", "failed to load ucode"),
        r"Direct firmware load for (?P<what>amdgpu/\S+) failed"
        r"|amdgpu.*failed to load (?:firmware|ucode)",
        "the kernel has no firmware for the card ({what})",
        "install linux-firmware (firmware-amd-graphics on Debian) and update the initramfs",
        "Linux amdgpu",
        over=("gpu_init_failed",),
    ),
    KnownFailure(
        "gpu_init_failed",
        (
            "fatal error during gpu init",
            "with driver amdgpu failed",
            "amdgpu_device_ip_init failed",
            "hw_init of ip block",
            "unable to locate a bios rom",
        ),
        r"Fatal error during GPU init|(?P<what>[\da-f:.]+): probe with driver amdgpu failed"
        r"|amdgpu_device_ip_init failed|hw_init of IP block|Unable to locate a BIOS ROM",
        "the kernel's driver could not start the card",
        "update kernel and linux-firmware; in the firmware's setup turn on Above 4G Decoding "
        "(cards with much memory need it); in a virtual machine pass the card's ROM",
        "Linux amdgpu_device.c, lamikr/rocm_sdk_builder#180",
    ),
    KnownFailure(
        "svm_limit",
        ("svm mapping failed",),
        r"SVM mapping failed, exceeds resident system memory limit",
        "the host's memory is full, and the driver gives the GPU no more of it",
        "end what holds the memory (the host prompt cache of a server: prompt_cache=), or add "
        "memory",
        "Linux amdgpu, TheTom/llama-cpp-turboquant#350",
    ),
)

ACCESS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "gpus_flag",
        ("could not select device driver", "nvidia-container-cli"),
        r"could not select device driver \S* ?with capabilities: \[\[gpu|nvidia-container-cli: ",
        "docker's --gpus is for NVIDIA cards",
        "leave it out: --device /dev/kfd --device /dev/dri pass an AMD card into a container",
        "Docker, nvidia-container-toolkit",
    ),
    KnownFailure(
        "no_kfd_on_host",
        ("adding custom device", "stat /dev/kfd"),
        r'adding custom device "/dev/kfd": no such file|stat /dev/kfd: no such file',
        "the host has no /dev/kfd to pass into the container",
        "load the amdgpu driver on a native Linux host; WSL and Docker Desktop have no /dev/kfd",
        "ROCm/legacy-rocm-build#3734, l1na-forever/stable-diffusion-rocm-docker#8",
        over=("kfd_missing",),
    ),
    KnownFailure(
        "no_dri_on_host",
        ("adding custom device", "stat /dev/dri"),
        r'adding custom device "(?P<what>/dev/dri[^"]*)": no such file'
        r"|stat /dev/dri\S*: no such file",
        "the host has no {what} to pass into the container",
        "load the card's driver (amdgpu) on a native Linux host; Docker Desktop, macOS and WSL "
        "have no /dev/dri: there take --device out, and use the CPU",
        "ai-dock/comfyui#55, containers/ramalama#686",
    ),
    KnownFailure(
        "group_unknown_in_container",
        ("unable to find group",),
        r"unable to find group (?P<what>render|video)",
        "the image has no group {what}, so a container cannot join it by name",
        'give the number that the host uses: --group-add "$(getent group render | cut -d: -f3)", '
        "in a compose file group_add: with that number in quotes",
        "TilmanGriesel/chipper#101, odysseus-dev/odysseus#515",
    ),
    KnownFailure(
        "kfd_permission",
        ("/dev/kfd", "permissions not set up properly", "permission problems block access"),
        r"/dev/kfd\b.*(?:permission denied|EACCES)|permissions not set up properly"
        r"|devices detected but permission problems block access",
        "no permission for /dev/kfd",
        f"{GROUPS}; {CONTAINER}",
        "viebrix/pytorch-gfx803-for-Whisper#1, ROCm/ROCm-docker#116, ollama/ollama#6736, "
        "truenas/apps#1100",
        over=("render_node_permission",),
    ),
    KnownFailure(
        "kfd_missing",
        ("/dev/kfd", "kfd driver not loaded"),
        r"/dev/kfd\b.*no such file|kfd driver not loaded",
        "there is no /dev/kfd: the amdgpu driver is not loaded, or a container hides it",
        f"sudo modprobe amdgpu; {CONTAINER}",
        "ROCm/legacy-rocm-build#1798, ollama/ollama#6736",
    ),
    KnownFailure(
        "wsl_no_adapter",
        ("no wddm adapters found", "/dev/dxg"),
        r"No WDDM adapters found|/dev/dxg\b.*(?:no such file|permission denied)",
        "WSL shows ROCm no GPU: Windows' driver is older than this ROCm needs, or the card is not "
        "among those that WSL passes on",
        "install the Adrenalin driver that the ROCm version names for WSL, then wsl --shutdown; "
        "with ROCm before 7.13 set HSA_ENABLE_DXG_DETECTION=1 for librocdxg; RDNA 2 and older "
        "need native Linux",
        "ROCm/legacy-rocm-build#5900, ROCm/librocdxg#34",
        over=("kfd_missing",),
    ),
    KnownFailure(
        "render_node_permission",
        ("/dev/dri", "renderd"),
        r"(?P<what>(?:/dev/dri/)?renderD\d+|/dev/dri/\S+).*(?:permission denied|EACCES)",
        "no permission for {what}",
        f"{GROUPS}; {CONTAINER}; with SELinux: sudo setsebool container_use_devices=1",
        "ROCm/TheRock#4240, ROCm/amdsmi#184",
    ),
    KnownFailure(
        "kfd_unusable",
        ("/dev/kfd",),
        r"/dev/kfd\b.*(?P<what>operation not permitted|invalid argument|cannot allocate memory"
        r"|bad address)",
        "/dev/kfd cannot be opened ({what}): a container or cgroup hides the GPU, or the driver "
        "does not support it",
        f"{CONTAINER}; sudo dmesg | grep kfd says whether the card is supported",
        "ROCm/legacy-rocm-build#1211, #2232, #5379 there",
    ),
)
