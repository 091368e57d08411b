"""Checks every recipe of yocto/meta-cellgate by BitBake's own parser, fetcher and shell; see bare_bitbake.py.

Faults go to stderr, one a line; any makes it end with 1."""

import fnmatch
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import bare_bitbake
from bare_bitbake import bb

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "yocto/meta-cellgate"
AGENT = LAYER / "recipes-connectivity/cellgate/cellgate_0.1.0.bb"
CONF = LAYER / "recipes-connectivity/cellgate/cellgate-conf_1.0.bb"

# What do_install is to leave, by DISTRO_FEATURES.
BINARY = {"/usr/bin/cellgate": (0o755, "root", "root")}
RULES = {"/usr/lib/udev/rules.d/60-cellgate.rules": (0o644, "root", "root")}
UNIT = {
    "/usr/lib/systemd/system/cellgate.service": (0o644, "root", "root"),
    "/usr/lib/sysusers.d/cellgate.conf": (0o644, "root", "root"),
}
INIT = {"/etc/init.d/cellgate": (0o755, "root", "root")}
TREES = {
    "systemd": BINARY | RULES | UNIT,
    "sysvinit": BINARY | RULES | INIT,
    "systemd sysvinit": BINARY | RULES | UNIT,
    "": BINARY | RULES,
}
CONFIGURATION = {
    "/etc/cellgate": (0o750, "root", "cellgate"),
    "/etc/cellgate/cellgate.toml": (0o640, "root", "cellgate"),
}

faults = []


def fault(text: str) -> None:
    faults.append(text)


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        fault(f"{what}: expected {wanted!r}, got {found!r}")


def read(recipe: Path, **settings: str):
    folder = Path(tempfile.mkdtemp(dir=SCRATCH))
    return bare_bitbake.read(recipe, folder, ROOT, **settings), folder


def layer_conf() -> None:
    d = bb.data.init()
    d.setVar("LAYERDIR", str(LAYER))
    d = bb.parse.handle(str(LAYER / "conf/layer.conf"), d, True)
    expect("layer.conf: BBFILE_COLLECTIONS", d.getVar("BBFILE_COLLECTIONS").split(), ["cellgate"])
    expect("layer.conf: LAYERDEPENDS", d.getVar("LAYERDEPENDS_cellgate"), "core")
    expect("layer.conf: LAYERSERIES_COMPAT", d.getVar("LAYERSERIES_COMPAT_cellgate"), "wrynose blacksail")
    for name in ("BBFILE_PRIORITY_cellgate", "LAYERVERSION_cellgate"):
        if not (d.getVar(name) or "").isdigit():
            fault(f"layer.conf: {name}: a number is expected, got {d.getVar(name)}")
    pattern = d.getVar("BBFILE_PATTERN_cellgate")
    for recipe in recipes():
        if not any(fnmatch.fnmatch(str(recipe), glob) for glob in d.getVar("BBFILES").split()):
            fault(f"layer.conf: BBFILES does not find {recipe.relative_to(LAYER)}")
        if not re.match(pattern, str(recipe)):
            fault(f"layer.conf: BBFILE_PATTERN does not match {recipe.relative_to(LAYER)}")


def recipes() -> list[Path]:
    return sorted(LAYER.glob("recipes-*/**/*.bb"))


def said(recipe: Path) -> None:
    """What every recipe has to say of itself."""
    d, _ = read(recipe, DISTRO_FEATURES="systemd")
    for name in ("SUMMARY", "DESCRIPTION", "HOMEPAGE", "BUGTRACKER", "SECTION"):
        if not d.getVar(name):
            fault(f"{recipe.name}: {name} is not set")
    expect(f"{recipe.name}: LICENSE", d.getVar("LICENSE"), "Apache-2.0")
    if d.getVar("CVE_PRODUCT") is None and "inherit packagegroup" not in recipe.read_text():
        fault(f"{recipe.name}: CVE_PRODUCT is not set")
    for patch in recipe.parent.rglob("*.patch"):
        if "Upstream-Status:" not in patch.read_text():
            fault(f"{patch.relative_to(LAYER)}: no Upstream-Status")


def sources() -> None:
    """Where the agent's sources come from: a full commit, a licence with the right sum, the crates of Cargo.lock."""
    d, _ = read(AGENT, DISTRO_FEATURES="systemd")
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    expect("version of the recipe and of Cargo.toml", d.getVar("PV"), manifest["version"])
    git = [url for url in d.getVar("SRC_URI").split() if url.startswith("git")]
    if len(git) != 1 or not re.search(r"^git://.*;protocol=https;branch=\w+", git[0]):
        fault(f"SRC_URI: one git://…;protocol=https;branch=… is expected, got {git}")
    if not re.fullmatch("[0-9a-f]{40}", d.getVar("SRCREV") or ""):
        fault(f"SRCREV: a full commit id is expected, got {d.getVar('SRCREV')}")

    path, _, md5 = d.getVar("LIC_FILES_CHKSUM").removeprefix("file://").partition(";md5=")
    expect(f"LIC_FILES_CHKSUM of {path}", md5, hashlib.md5((ROOT / path).read_bytes()).hexdigest())

    locked = {
        f"{p['name']}-{p['version']}": p["checksum"]
        for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        if "crates.io" in p.get("source", "")
    }
    fetched = {ud.parm["name"]: ud.sha256_expected for ud, _ in bare_bitbake.fetch(d) if ud.type == "crate"}
    for name in sorted(locked.keys() | fetched.keys()):
        expect(f"crate {name}: checksum, by Cargo.lock and in SRC_URI", fetched.get(name), locked.get(name))
    print(f"  {len(fetched)} crates, {d.getVar('SRCREV')[:12]}")


def released() -> None:
    """Whether the commit that SRCREV names builds with this list of crates. It cannot be the commit that changes them."""
    d, _ = read(AGENT, DISTRO_FEATURES="systemd")
    revision = d.getVar("SRCREV")
    for path in ("Cargo.lock", "LICENSE"):
        show = subprocess.run(["git", "show", f"{revision}:{path}"], cwd=ROOT, capture_output=True)
        if show.returncode:
            print(f"SKIPPED: yocto: {path} of SRCREV and here not compared, this checkout has no commit {revision[:12]}")
        elif show.stdout != (ROOT / path).read_bytes():
            print(f"  {path} has changed since SRCREV {revision[:12]}: set SRCREV to a commit that has it")


def agent(features: str) -> None:
    """do_install of the agent, and whether each file is in a package and each name is one of a file."""
    d, folder = read(AGENT, DISTRO_FEATURES=features)
    tree = bare_bitbake.install(d, folder)
    what = f"cellgate, DISTRO_FEATURES '{features}'"
    wanted = TREES[features]
    for path in sorted(wanted.keys() | tree.keys()):
        expect(f"{what}: {path} (mode, owner, group)", tree.get(path), wanted.get(path))

    package = d.getVar("FILES:cellgate").split()
    if "systemd" in features:
        for unit in d.getVar("SYSTEMD_SERVICE:cellgate").split():
            path = f"{d.getVar('systemd_system_unitdir')}/{unit}"
            package.append(path)
            if path not in tree:
                fault(f"{what}: SYSTEMD_SERVICE names {unit}, which do_install does not install")
    elif "sysvinit" in features and f"/etc/init.d/{d.getVar('INITSCRIPT_NAME')}" not in tree:
        fault(f"{what}: INITSCRIPT_NAME names {d.getVar('INITSCRIPT_NAME')}, which do_install does not install")
    shipped(what, tree, package)
    if d.getVar("CONFFILES:cellgate"):
        fault("cellgate: CONFFILES: machine configuration belongs into cellgate-conf")


def shipped(what: str, tree: dict, package: list[str]) -> None:
    for path in tree:
        if not any(fnmatch.fnmatch(path, glob) or f"{path}/".startswith(f"{glob}/") for glob in package):
            fault(f"{what}: {path} is installed but in no package")


def account() -> None:
    """The user is the one that unit, init script and sysusers know, and cannot log in."""
    d, folder = read(AGENT, DISTRO_FEATURES="systemd")
    options = d.getVar("USERADD_PARAM:cellgate").split()
    expect("USERADD_PACKAGES", d.getVar("USERADD_PACKAGES"), "cellgate")
    for option in ("--system", "--no-create-home", "/usr/sbin/nologin"):
        if option not in options:
            fault(f"USERADD_PARAM: {option} is expected, got {' '.join(options)}")
    bare_bitbake.install(d, folder)
    unit = Path(d.expand("${D}${systemd_system_unitdir}/cellgate.service")).read_text()
    expect("User= of the unit and USERADD_PARAM", re.findall("^User=(.*)", unit, re.M), [options[-1]])
    group = d.getVar("GROUPADD_PARAM:cellgate").split()[-1]
    expect("Group= of the unit and GROUPADD_PARAM", re.findall("^Group=(.*)", unit, re.M), [group])
    sysusers = Path(d.expand("${D}${nonarch_libdir}/sysusers.d/cellgate.conf")).read_text()
    expect("user of sysusers", re.findall(r"^u\s+(\S+)", sysusers, re.M), [options[-1]])


def elsewhere() -> None:
    """A distro with other folders: unit and init script follow."""
    for features, file in (("systemd", "${systemd_system_unitdir}/cellgate.service"), ("sysvinit", "${sysconfdir}/init.d/cellgate")):
        d, folder = read(AGENT, DISTRO_FEATURES=features, bindir="/opt/bin", sysconfdir="/opt/etc", base_bindir="/tools")
        bare_bitbake.install(d, folder)
        text = Path(d.expand("${D}" + file)).read_text()
        for line in text.splitlines():
            if not line.startswith("#") and re.search(r"/usr/bin/cellgate|[ =]/etc/cellgate|[ =]/bin/kill|@[A-Z_]+@", line):
                fault(f"{file} with bindir /opt/bin and sysconfdir /opt/etc still has: {line}")
        for path in ("/opt/bin/cellgate", "/opt/etc/cellgate/cellgate.toml"):
            if path not in text:
                fault(f"{file}: {path} is expected in it")


def configuration() -> None:
    d, folder = read(CONF, DISTRO_FEATURES="systemd")
    for ud, path in bare_bitbake.fetch(d):
        if not Path(path).is_file():
            fault(f"cellgate-conf: {ud.url}: no such file")
            return
        (folder / "unpack" / Path(path).name).write_bytes(Path(path).read_bytes())
    tree = bare_bitbake.install(d, folder)
    expect("cellgate-conf: the tree", tree, CONFIGURATION)
    shipped("cellgate-conf", tree, d.getVar("FILES:cellgate-conf").split())
    expect("cellgate-conf: CONFFILES", d.getVar("CONFFILES:cellgate-conf").split(), ["/etc/cellgate/cellgate.toml"])
    known = (d.getVar("GROUPADD_PARAM:cellgate-conf") or "").split()[-1:]
    for path, (_, _, group) in tree.items():
        if group not in ["root", *known]:
            fault(f"cellgate-conf: {path} belongs to the group {group}, which GROUPADD_PARAM does not make")
    other, _ = read(AGENT, DISTRO_FEATURES="systemd")
    expect("GROUPADD_PARAM of both recipes", d.getVar("GROUPADD_PARAM:cellgate-conf"), other.getVar("GROUPADD_PARAM:cellgate"))
    if "cellgate-conf" not in (other.getVar("RRECOMMENDS:cellgate") or "").split():
        fault("cellgate: RRECOMMENDS does not name cellgate-conf")


def options() -> None:
    """A PACKAGECONFIG for each feature of the crate, and `static`, which changes how it is linked and nothing else."""
    features = tomllib.loads((ROOT / "Cargo.toml").read_text()).get("features", {}).keys() - {"default"}
    d, _ = read(AGENT, DISTRO_FEATURES="")
    expect("PACKAGECONFIG and the features of Cargo.toml", set(d.getVarFlags("PACKAGECONFIG") or {}) - {"doc"}, features | {"static"})
    expect("crt-static without PACKAGECONFIG", "+crt-static" in d.getVar("RUSTFLAGS"), False)
    d, _ = read(AGENT, DISTRO_FEATURES="", PACKAGECONFIG="static")
    expect("crt-static with PACKAGECONFIG 'static'", "-C target-feature=+crt-static" in d.getVar("RUSTFLAGS"), True)


def unit_tests() -> None:
    """Of what cargo builds for tests, the unit tests alone are run on the target."""
    d, folder = read(AGENT, DISTRO_FEATURES="")
    listed = folder / "list"
    d.setVar("CARGO_TEST_BINARIES_FILES", str(listed))
    wanted = "/b/release/deps/cellgate-0123456789abcdef\n"
    listed.write_text(f"/b/release/cellgate\n{wanted}/b/release/deps/access-0123456789abcdef\n")
    expect("what do_compile_ptest_cargo calls at its end", d.getVarFlag("do_compile_ptest_cargo", "postfuncs").split(), ["show_end_to_end_tests", "keep_unit_tests"])
    bare_bitbake.run_python(d, "keep_unit_tests")
    expect("tests for the target", listed.read_text(), wanted)


def group_and_image() -> None:
    known = {recipe.stem.partition("_")[0] for recipe in recipes()}
    d, _ = read(LAYER / "recipes-core/packagegroups/packagegroup-cellgate.bb", DISTRO_FEATURES="")
    expect("packagegroup-cellgate: RDEPENDS", d.getVar("RDEPENDS:packagegroup-cellgate").split(), ["cellgate", "cellgate-conf"])
    d, _ = read(LAYER / "recipes-core/images/cellgate-image.bb", DISTRO_FEATURES="")
    named = {name for name in d.getVar("IMAGE_INSTALL").split() if "cellgate" in name}
    expect("cellgate-image: IMAGE_INSTALL", named, {"packagegroup-cellgate"})
    if not named <= known:
        fault(f"cellgate-image: no recipe makes {named - known}")


with tempfile.TemporaryDirectory() as SCRATCH:
    found = recipes()
    expect("recipes of the layer", len(found), 4)
    checks = [(layer_conf,), *((said, r) for r in found), (sources,), (released,), *((agent, f) for f in TREES)]
    checks += [(account,), (elsewhere,), (configuration,), (options,), (unit_tests,), (group_and_image,)]
    for check, *argument in checks:
        try:
            check(*argument)
        except Exception as error:  # what BitBake raises has no common base; the rest is still checked
            fault(f"{check.__name__}{argument or ''}: {type(error).__name__}: {error}")

for text in faults:
    print(f"yocto: {text}", file=sys.stderr)
sys.exit(bool(faults))
