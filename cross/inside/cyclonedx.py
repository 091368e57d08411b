"""Is responsible for the SBOM in CycloneDX 1.6. The same sources give the same bytes: the serial number comes from the
content, the time from SOURCE_DATE_EPOCH or the commit, and there is none where neither is known."""

import datetime
import hashlib
import json
import os
import subprocess
import uuid


def cyclonedx(crates, parts, target, binary):
    ours = next(crate for crate in crates if crate.ours)
    others = [crate for crate in crates if not crate.ours]
    with open(binary, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    metadata = {
        "tools": {"components": [{"type": "application", "name": "cross/sbom", "version": ours.version}]},
        "component": {
            "type": "firmware",
            "bom-ref": reference(ours),
            "name": ours.name,
            "version": ours.version,
            "description": ours.description,
            # Of the binary beside this file.
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "licenses": [{"expression": ours.licence}],
            "purl": ours.purl,
        },
        "properties": [{"name": "cellgate:target", "value": target}],
    }
    if (time := source_time()) is not None:
        metadata["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": [crate_component(crate) for crate in others] + [part_component(part, {crate.key for crate in others}) for part in parts],
        "dependencies": dependencies(crates, parts),
    }
    bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)).urn
    return bom


def reference(thing):
    return thing.purl


def crate_component(crate):
    component = {
        "type": "library",
        "bom-ref": reference(crate),
        "name": crate.name,
        "version": crate.version,
        # Of the .crate file, as in Cargo.lock.
        "hashes": [{"alg": "SHA-256", "content": crate.checksum}],
        # Before SPDX's OR, crates wrote a slash.
        "licenses": [{"expression": crate.licence.replace("/", " OR ")}],
        "purl": crate.purl,
        # excluded: helped to build the binary and is not in it.
        "scope": "required" if crate.shipped else "excluded",
    }
    if crate.repository:
        component["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    if crate.features:
        component["properties"] = [{"name": "cargo:features", "value": ",".join(crate.features)}]
    return component


def part_component(part, ours):
    component = {
        "type": "library",
        "bom-ref": reference(part),
        "name": part.name,
        "version": part.version,
        "licenses": [{"expression": part.licence}],
        "cpe": part.cpe,
        "purl": part.purl,
        "scope": "required",
    }
    inner = [
        {
            "type": "library",
            "bom-ref": f"{part.name}/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:cargo/{name}@{version}",
            "scope": "required",
        }
        for name, version in part.crates
        if (name, version) not in ours
    ]
    if inner:
        component["components"] = inner
    return component


def dependencies(crates, parts):
    by_key = {crate.key: crate for crate in crates}
    listed = []
    for crate in crates:
        needs = [reference(by_key[key]) for key in sorted(crate.needs)]
        if crate.ours:
            needs += [reference(part) for part in parts]
        listed.append({"ref": reference(crate), "dependsOn": needs} if needs else {"ref": reference(crate)})
    return listed + [{"ref": reference(part)} for part in parts]


def source_time():
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        git = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True)
        epoch = git.stdout.strip() if git.returncode == 0 else ""
    return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch else None
