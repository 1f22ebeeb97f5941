"""What the kernel tells of GPUs: KFD and DRM below ``/sys``."""
