"""Get the chat templates of published models, as llama.cpp has them in its sources.

    python templates.py FOLDER      writes FOLDER/NAME.jinja; a download of 75 MB, which pip caches

They come with the source distribution of ``llama_cpp_python`` 0.3.36; nothing of it is built.
"""

import pathlib
import subprocess
import sys
import tarfile

PACKAGE = "llama_cpp_python"
INSIDE = "/vendor/llama.cpp/models/templates/"
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", PACKAGE]
subprocess.run([*pip, f"{PACKAGE}==0.3.36", "--dest", str(folder)], check=True)
archive = next(folder.glob("*.tar.gz"))
with tarfile.open(archive) as sources:
    for member in sources:
        if INSIDE in member.name and member.name.endswith(".jinja"):
            text = sources.extractfile(member)
            assert text is not None
            (folder / pathlib.Path(member.name).name).write_bytes(text.read())
archive.unlink()
