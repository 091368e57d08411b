"""Is responsible for the file of licence texts that goes beside the binary: each text once, under the names of those
who brought it. A shipped crate without a text fails, unless it stands in WITHOUT_TEXT with a reason."""

import os
import re

TEXT_NAME = re.compile(r"(?i)^(un)?licen[sc]e|^copying|^notice|^copyright")

# Crates whose package carries no licence text: the licence they are taken under and why that text may be used.
WITHOUT_TEXT = {
    "gpiocdev-uapi": ("Apache-2.0", "offered as Apache-2.0 OR MIT; Apache-2.0 needs no line of the author in its text"),
    "ioctl-sys": ("Apache-2.0", "offered as MIT OR Apache-2.0; Apache-2.0 needs no line of the author in its text"),
}
# The text of each licence in WITHOUT_TEXT, in our own tree.
STANDARD_TEXT = {"Apache-2.0": "LICENSE"}

RULE = "=" * 100


def licences(crates, parts, target):
    """The whole file, or an error that names each crate without a text."""
    shipped = [crate for crate in crates if crate.shipped and not crate.ours]
    holders = {}  # text with its spaces evened out -> (the text, who brought it)
    missing = []
    for crate in shipped:
        found = texts(crate.folder) or stand_in(crate)
        if not found:
            missing.append(f"{crate.name} {crate.version} ({crate.licence}), looked in {crate.folder}")
        for path, text in found:
            hold(holders, text, f"{crate.name} {crate.version}: {path}")
    for part in parts:
        for path, text in part.texts:
            hold(holders, text, f"{part.name} {part.version}: {path}")
    if missing:
        raise SystemExit(
            "cross/sbom: no licence text was found in the packages of: " + "; ".join(missing) + ". Name them in "
            "WITHOUT_TEXT of cross/inside/licences.py, with the licence they are taken under and the reason"
        )
    unused = sorted(set(WITHOUT_TEXT) - {crate.name for crate in shipped if not texts(crate.folder)})
    if unused:
        raise SystemExit(
            f"cross/sbom: WITHOUT_TEXT of cross/inside/licences.py names {', '.join(unused)}, which brings its text or "
            f"is not in the binary for {target}: take it out"
        )
    return "\n".join(head(shipped, parts, target) + body(holders))


def texts(folder):
    """(path, text) of each file of licence in a crate, those of code it took from others included."""
    found = []
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if TEXT_NAME.match(name) and not name.endswith((".rs", ".toml", ".py")):
                path = os.path.join(here, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if text.strip():
                    found.append((os.path.relpath(path, folder), text))
    return found


def stand_in(crate):
    licence, _ = WITHOUT_TEXT.get(crate.name, (None, None))
    if licence is None:
        return []
    with open(STANDARD_TEXT[licence], encoding="utf-8") as file:
        return [(f"taken under {licence}", file.read())]


def hold(holders, text, who):
    _, names = holders.setdefault(" ".join(text.split()), (text.strip("\n"), []))
    names.append(who)


def head(shipped, parts, target):
    lines = [
        f"What others wrote and is in cellgate for {target}, with the licences under which it is given.",
        "cellgate itself is given under Apache-2.0, in its file LICENSE. Where a licence says OR, the texts of all are here.",
        "",
    ]
    lines += [f"  {crate.name} {crate.version}: {crate.licence}" for crate in shipped]
    lines += [f"  {part.name} {part.version}: {part.licence}" for part in parts]
    return lines


def body(holders):
    lines = []
    for text, names in holders.values():
        lines += ["", RULE] + names + [RULE, ""] + [line.rstrip() for line in text.splitlines()]
    return lines + [""]
