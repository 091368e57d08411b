"""Is responsible for what is in the binary and no crate of Cargo.lock: Rust's standard library and the C library musl.

Their versions and licence texts are those of the compiler and of the zig that built it.
"""

import html
import os
import re
import subprocess

# What the standard library itself is built of. It says nowhere in which versions; the binary does, where code can panic.
OF_RUST = "addr2line adler2 cfg-if compiler_builtins foldhash gimli hashbrown libc memchr miniz_oxide object rustc-demangle"


class Part:
    def __init__(self, name, version, licence, purl, cpe, texts, crates=()):
        self.name = name
        self.version = version
        self.licence = licence
        self.purl = purl
        self.cpe = cpe
        self.texts = texts  # title, text
        self.crates = crates  # name, version of what it is built of, as far as the binary names it


def parts(binary):
    return [rust(binary), musl()]


def rust(binary):
    rustc = os.environ.get("RUSTC", "rustc")
    version = subprocess.check_output([rustc, "--version"], text=True).split()[1]
    sysroot = subprocess.check_output([rustc, "--print", "sysroot"], text=True).strip()
    # rustup's toolchains carry the first, Debian's packages the second.
    pages = [f"{sysroot}/share/doc/rust/COPYRIGHT-library.html", f"{sysroot}/share/doc/rust-web-src/copyright"]
    page = next((page for page in pages if os.path.exists(page)), None)
    if page is None:
        raise SystemExit(
            f"cross/sbom: the copyright notices of Rust's standard library are at none of {', '.join(pages)}; they "
            "come with rustup's component rustc and with Debian's rust-web-src"
        )
    with open(page, encoding="utf-8") as file:
        text = file.read()
    if page.endswith(".html"):
        text = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?s)<(style|head)\b.*?</\1>", "", text)))
    return Part(
        "rust-std",
        version,
        "MIT OR Apache-2.0",
        f"pkg:generic/rust-std@{version}",
        f"cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*",
        [("COPYRIGHT", text)],
        named(binary),
    )


def named(binary):
    """The library's sources are below /rust/deps in rustup's toolchains, and with those of our crates where it was built
    from Debian's sources."""
    with open(binary, "rb") as file:
        paths = re.findall(rb"/(?:rust/deps|cargo/registry/src/[^/\0]+)/([a-z0-9_-]+)-([0-9][^/\0]*)/", file.read())
    return sorted({(name.decode(), version.decode()) for name, version in paths if name.decode() in OF_RUST.split()})


def musl():
    folder = os.environ["CROSS_MUSL"]
    with open(f"{folder}/src/internal/version.h", encoding="utf-8") as file:
        version = re.search(r'VERSION "([0-9.]+)"', file.read()).group(1)
    with open(f"{folder}/COPYRIGHT", encoding="utf-8") as file:
        text = file.read()
    return Part(
        "musl",
        version,
        "MIT",
        f"pkg:generic/musl@{version}",
        f"cpe:2.3:a:musl-libc:musl:{version}:*:*:*:*:*:*:*",
        [("COPYRIGHT", text)],
    )
