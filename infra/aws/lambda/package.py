"""Make what runs on AWS Lambda: packages, our code and the bundle, pruned and compiled.

The zip function and the image are both made from the directory that this writes:
`code/` is what a function has in /var/task, and `code/model/` is the bundle.
It needs nothing but Python and uv, or with --native pip.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "infra" / "locks" / "lambda.txt"
PYTHON_VERSION = "3.12"
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
"""AWS Lambda quota: a deployment package, unzipped, all layers included."""

UNUSED_PACKAGES = frozenset(
    {
        # What tokenizers needs to fetch from the hub, and its own dependencies.
        *("huggingface-hub", "hf-xet", "fsspec", "tqdm", "httpx2", "httpcore2", "h11"),
        *("truststore", "pyyaml"),
        # What ONNX Runtime needs for its tools only.
        *("flatbuffers", "protobuf"),
        # The server of the other target.
        *("uvicorn", "httptools", "click"),
    }
)
PRUNED = (
    "**/tests",
    "**/*.pyi",
    "**/*.h",
    "**/*.pxd",
    "**/*.a",
    "**/*.c",
    "numpy/random",
    "numpy/_core/_simd.*",
    "numpy/_core/_*_tests.*",
    "onnxruntime/capi/libonnxruntime.so.*",
    "numpy/f2py",
    "numpy/testing",
    "numpy/_pyinstaller",
    "numpy/_core/lib",
    "numpy/_core/include",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "onnxruntime/backend",
    "onnxruntime/ThirdPartyNotices.txt",
    "onnxruntime/Privacy.md",
    # Of the vocabularies' package only those are read.
    "bpe_openai/_bindings.*",
    "bpe_openai/data/voyage*",
    "bin",
)
"""Of the two copies of ONNX Runtime, the one in the extension module is the one that is used."""
BUNDLE_ROLES = frozenset({"tokenizer", "onnx", "onnx_data", "golden"})
_EPOCH = (1980, 1, 1, 0, 0, 0)


def install(target: Path, lock: Path, installer: list[str]) -> None:
    """Install what the lock pins, checked by hash."""
    wanted = target.parent / "requirements.txt"
    wanted.write_text(_without_unused(lock.read_text("utf-8")), "utf-8")
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", str(target)]
    subprocess.run([*installer, *options, "-r", str(wanted)], check=True)


def installer_for(machine: str, python: str) -> list[str]:
    """uv, which can install for another Python and another machine than its own."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        sys.exit("uv is needed; `make lambda-zip` brings it.")
    platform_options = ["--python-platform", f"{machine}-manylinux_2_28"]
    version_options = ["--python-version", PYTHON_VERSION, "--python", python]
    # Copies, because `strip` writes into them: a link would change the cache and every
    # environment that was made from it.
    copies = ["--link-mode", "copy"]
    return [uv, "pip", "install", "--quiet", *copies, *platform_options, *version_options]


def native_installer() -> list[str]:
    """The pip of the interpreter that runs this, for itself: the one of an image's base."""
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _without_unused(lock: str) -> str:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", lock)
    return "".join(block for block in blocks if block.split("==")[0] not in UNUSED_PACKAGES)


def prune(target: Path) -> None:
    """Delete what is never imported."""
    for pattern in PRUNED:
        for path in list(target.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for directory in target.glob("*.dist-info"):
        for path in list(directory.rglob("*")):
            if path.is_file() and path.name not in {"METADATA", "entry_points.txt"}:
                path.unlink()


def strip(target: Path) -> None:
    """Take the symbols out of the libraries: 4 MB, of which nothing is used at run time."""
    program = shutil.which("strip")
    if program is None:
        print("strip is not installed: the libraries keep their symbols", file=sys.stderr)
        return
    libraries = [str(path) for path in target.rglob("*.so*") if path.stat().st_size > 1_000_000]
    subprocess.run([program, "--strip-unneeded", *libraries], check=True)


def add_code(target: Path) -> None:
    """Copy our packages; a bundle is made elsewhere, so without the exporter."""
    ignored = shutil.ignore_patterns("__pycache__", "export", "testing.py", "fake.py")
    for package in ("engine", "functions"):
        shutil.copytree(ROOT / package, target / package, ignore=ignored)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = target / f"{project['name']}-{project['version']}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Name: {project['name']}\nVersion: {project['version']}\n", "utf-8")


def add_bundle(source: Path, target: Path, precision: str | None) -> None:
    """Copy the files that this target runs; the manifest lists no others."""
    manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    manifest["files"] = [
        entry
        for entry in manifest["files"]
        if entry["role"] in BUNDLE_ROLES and precision in (None, entry.get("precision", precision))
    ]
    target.mkdir(parents=True)
    for entry in manifest["files"]:
        shutil.copyfile(source / entry["path"], target / entry["path"])
    text = json.dumps(manifest, indent=2) + "\n"
    (target / "manifest.json").write_text(text, "utf-8")


def compile_code(target: Path, python: str) -> None:
    """Compile by the function's own version; /var/task can't be written to at run time."""
    command = [python, "-m", "compileall", "-q", "-j", "2"]
    command += ["--invalidation-mode", "unchecked-hash", str(target)]
    subprocess.run(command, check=True)


def write_zip(directory: Path, archive: Path) -> None:
    """Zip with times and order that do not change from build to build."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(directory)), _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if path.suffix == ".so" else 0o644) << 16
                with file.open(entry, "w") as stream:
                    stream.write(path.read_bytes())


def find_python() -> str:
    """An interpreter of the function's version, whose bytecode the function can load."""
    home = Path.home() / ".pyenv" / "versions"
    candidates = [sys.executable, shutil.which(f"python{PYTHON_VERSION}")]
    candidates += [str(path) for path in sorted(home.glob(f"{PYTHON_VERSION}.*/bin/python3"))]
    check = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        found = subprocess.run([candidate, "-c", check], capture_output=True, text=True)
        if found.stdout.strip() == PYTHON_VERSION:
            return str(candidate)
    sys.exit(
        f"Python {PYTHON_VERSION} is needed to compile the function's bytecode, without which a "
        "cold start takes twice as long. Install it, or name it with --python."
    )


def directory_bytes(directory: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def main() -> None:
    """Build the directory, and the zip if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "lambda")
    parser.add_argument("--bundle", type=Path, help="a bundle; by default none is added")
    parser.add_argument(
        "--precision",
        help="the only precision to add; by default all of them. For one below a certified cosine "
        "of 0.9999, such as int8, the function needs EMBELLAMA_PRECISION, too",
    )
    parser.add_argument("--machine", choices=["x86_64", "aarch64"], default="x86_64")
    parser.add_argument("--python", help=f"an interpreter of version {PYTHON_VERSION}")
    parser.add_argument("--zip", type=Path)
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--native", action="store_true", help="for the Python that runs this")
    parser.add_argument("--bundle-only", action="store_true", help="add nothing but the bundle")
    options = parser.parse_args()
    if options.bundle_only:
        add_bundle(options.bundle, options.output / "model", options.precision)
    else:
        build(options)


def build(options: argparse.Namespace) -> None:
    """Build all of it, anew."""
    python = sys.executable if options.native else options.python or find_python()
    code = options.output / "code"
    shutil.rmtree(options.output, ignore_errors=True)
    code.mkdir(parents=True)
    installer = native_installer() if options.native else installer_for(options.machine, python)
    install(code, options.lock, installer)
    prune(code)
    if options.machine == platform.machine():
        strip(code)
    add_code(code)
    compile_code(code, python)
    if options.bundle is not None:
        add_bundle(options.bundle, code / "model", options.precision)
    size = directory_bytes(code)
    print(f"{code}: {size / 1e6:.1f} MB unzipped")
    if options.zip is not None:
        if size > MAX_UNZIPPED_BYTES:
            sys.exit(f"A zip function may have {MAX_UNZIPPED_BYTES / 1e6:.0f} MB. Make an image.")
        write_zip(code, options.zip)
        print(f"{options.zip}: {options.zip.stat().st_size / 1e6:.1f} MB zipped")


if __name__ == "__main__":
    main()
