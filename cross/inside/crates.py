"""Is responsible for what a binary is made of: the crates that cargo builds for one target, by name and version.

cargo tree is asked, and not cargo metadata: metadata adds the features that the tests' own crates turn on, and with
them crates (regex, hashbrown, indexmap) that no gateway ever gets.
"""

import json
import os
import subprocess
import tomllib


class Crate:
    """One crate: `shipped` is in the binary, the others only helped to build it (derive macros, build scripts)."""

    def __init__(self, package, checksum, shipped, features):
        self.id = package["id"]
        self.name = package["name"]
        self.version = package["version"]
        self.licence = package["license"]
        self.repository = package["repository"]
        self.description = package["description"]
        self.folder = os.path.dirname(package["manifest_path"])
        self.ours = package["source"] is None
        self.checksum = checksum
        self.shipped = shipped
        self.features = features
        self.needs = set()  # keys of the crates that it depends on

    @property
    def key(self):
        return (self.name, self.version)

    @property
    def purl(self):
        return f"pkg:cargo/{self.name}@{self.version.replace('+', '%2B')}"


def cargo(*arguments):
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        raise SystemExit(f"cross/sbom: {' '.join(command)} failed with {run.returncode}; its reason stands above")
    return run.stdout


def tree(target, edges):
    """(depth, key, features) of each line of cargo tree."""
    arguments = "tree --locked --package cellgate --prefix depth --format |{p}|{f}".split()
    for line in cargo(*arguments, "--edges", edges, "--target", target).splitlines():
        depth, package, features = line.split("|")
        name, version = package.split()[:2]
        features = features.removesuffix(" (*)")
        yield int(depth), (name, version.removeprefix("v")), features.split(",") if features else []


def crates(target):
    """All crates of the binary for `target`, sorted by name and version; the first of the tree is cellgate itself."""
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    with open("Cargo.lock", "rb") as lock:
        checksums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(lock)["package"]}

    shipped = {}
    for _, key, features in tree(target, "normal,no-proc-macro"):
        shipped.setdefault(key, set()).update(features)
    found = {}
    above = []
    for depth, key, features in tree(target, "normal,build"):
        if key not in found:
            enabled = sorted(shipped.get(key, features))
            found[key] = Crate(packages[key], checksums[key], key in shipped, enabled)
        del above[depth:]
        if above and above[-1] != key:
            found[above[-1]].needs.add(key)
        above.append(key)
    return [found[key] for key in sorted(found)]
