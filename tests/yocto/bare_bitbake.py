"""Is responsible for reading a recipe with BitBake's own parser where there is no OE-core.

OE-core's classes are empty here, but for the parts that a recipe builds on: cargo's do_install, and PACKAGECONFIG. Its
variables are those of bitbake.conf that the layer uses. What the classes do is not covered.
"""

import re
import subprocess
import sys
import types
from pathlib import Path

# The wheel leaves them out; bb imports them for servers that are not started here.
for name in ("hashserv", "hashserv.client", "prserv", "prserv.serv"):
    sys.modules.setdefault(name, types.ModuleType(name))

import bb  # noqa: E402
import bb.codeparser  # noqa: E402
import bb.data  # noqa: E402
import bb.fetch2  # noqa: E402
import bb.parse  # noqa: E402
import bb.siggen  # noqa: E402

CARGO_CLASS = """
cargo_do_install() {
    install -D -m 0755 /bin/true ${D}${bindir}/${BPN}
}
EXPORT_FUNCTIONS do_install
"""

# bitbake.conf's, as far as a recipe of the layer can come near them. The unit is added by systemd.bbclass.
VARIABLES = {
    "prefix": "/usr",
    "bindir": "${prefix}/bin",
    "sbindir": "${prefix}/sbin",
    "libdir": "${prefix}/lib",
    "libexecdir": "${prefix}/libexec",
    "datadir": "${prefix}/share",
    "nonarch_libdir": "${prefix}/lib",
    "nonarch_base_libdir": "/usr/lib",
    "base_bindir": "/usr/bin",
    "base_sbindir": "/usr/sbin",
    "sysconfdir": "/etc",
    "localstatedir": "/var",
    "systemd_unitdir": "${nonarch_libdir}/systemd",
    "systemd_system_unitdir": "${systemd_unitdir}/system",
    "MACHINE_ARCH": "qemuarm64",
    "COMMON_LICENSE_DIR": "/nowhere",
    "FILES:${PN}": "${bindir}/* ${sbindir}/* ${libexecdir}/* ${sysconfdir} ${localstatedir} ${base_bindir}/* "
    "${base_sbindir}/* /lib/udev ${prefix}/lib/udev ${datadir}/${BPN} ${libdir}/${BPN}/*",
}


def read(recipe: Path, folder: Path, sources: Path, **settings: str):
    """The datastore of a recipe. It works below `folder`; `sources` is what do_unpack would leave as ${S}.

    `settings` are what local.conf would say."""
    inherited = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"^inherit (.*)", recipe.read_text(), re.M))))
    for part in ("classes", "unpack", "downloads"):
        (folder / part).mkdir(parents=True)
    for name in inherited | {"base"}:
        (folder / f"classes/{name}.bbclass").write_text(CARGO_CLASS if name == "cargo" else "")
    name, _, version = recipe.stem.partition("_")
    version = version or "1.0"
    (folder / f"unpack/{name}-{version}").symlink_to(sources)

    d = bb.data.init()
    own = {
        "BBPATH": str(folder),
        "TOPDIR": str(folder),
        "TMPDIR": str(folder),
        "T": str(folder),
        "WORKDIR": str(folder),
        "UNPACKDIR": str(folder / "unpack"),
        "DL_DIR": str(folder / "downloads"),
        "PERSISTENT_DIR": str(folder),
        "B": str(folder / "build"),
        "D": str(folder / "image"),
        "S": "${UNPACKDIR}/${BP}",
        "PN": name,
        "BPN": name,
        "PV": version,
        "BP": "${BPN}-${PV}",
        "PACKAGES": "${PN}",
        "FILE": str(recipe),
        "FILESPATH": f"{recipe.parent}/{name}:{recipe.parent}/files",
        "OVERRIDES": f"linux:aarch64:pn-{name}:class-target",
        "BB_NO_NETWORK": "1",
        "__bbclasstype": "recipe",
    }
    for key, value in (VARIABLES | own | settings).items():
        d.setVar(key, value)
    bb.parse.siggen = bb.siggen.init(d)
    return bb.parse.handle(str(recipe), d)[""]


def fetch(d):
    """The URLs of SRC_URI without those of git, as BitBake's fetcher understands them."""
    fetcher = bb.fetch2.Fetch([url for url in d.getVar("SRC_URI").split() if not url.startswith("git")], d)
    return [(fetcher.ud[url], fetcher.localpath(url)) for url in fetcher.urls]


# install(1) without the change of owner, which needs OE's sysroot and pseudo; who should own what goes to $OWNERS.
INSTALL = """
install() {
    local kept= owner= group= last=
    while [ $# -gt 0 ]; do
        case "$1" in
            -o) owner=$2; shift ;;
            -g) group=$2; shift ;;
            *) kept="$kept $1"; last=$1 ;;
        esac
        shift
    done
    command install $kept
    if [ -n "$owner$group" ]; then echo "${last#"$D"} ${owner:-root} ${group:-root}" >>"$OWNERS"; fi
}
"""


def install(d, folder: Path) -> dict:
    """Runs do_install for real. Returns path: (mode, owner, group) of every file, and of each folder whose owner is told."""
    root = Path(d.getVar("D"))
    root.mkdir(parents=True)
    owners = folder / "owners"
    owners.touch()
    with open(folder / "run.do_install", "w") as script:
        script.write(f"set -e\numask 022\nD={root}\nOWNERS={owners}\n{INSTALL}\n")
        bb.data.emit_func("do_install", script, d)
        script.write("do_install\n")
    result = subprocess.run(["sh", script.name], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"do_install ended with {result.returncode}: {result.stderr.strip()}")
    owned = {path: (owner, group) for path, owner, group in map(str.split, owners.read_text().splitlines())}
    installed = {}
    for path in sorted(root.rglob("*")):
        name = "/" + str(path.relative_to(root))
        if not path.is_dir() or name in owned:
            installed[name] = (path.stat().st_mode & 0o7777, *owned.get(name, ("root", "root")))
    return installed


def run_python(d, function: str) -> None:
    """Runs a Python function of a recipe, as BitBake would."""
    code = compile(f"def call(d):\n{d.getVar(function)}", function, "exec")
    names = {"bb": bb, "os": __import__("os")}
    exec(code, names)
    names["call"](d)
