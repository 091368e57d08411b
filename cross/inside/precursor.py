"""Is responsible for the list that cargo-auditable puts into the binary, in the form that it reads from CARGO_SBOM_PATH.

cargo writes this form itself with `-Z sbom`, which a stable cargo has not. Without it cargo-auditable asks cargo metadata
and names crates that are not in the binary.
"""


def precursor(crates):
    index = {crate.key: number for number, crate in enumerate(crates)}
    shipped = {crate.key for crate in crates if crate.shipped}
    return {
        "version": 1,
        "root": index[next(crate.key for crate in crates if crate.ours)],
        "crates": [
            {
                "id": crate.id,
                "kind": ["bin" if crate.ours else "lib"],
                "features": crate.features,
                "dependencies": [
                    {"index": index[key], "kind": "normal" if key in shipped else "build"}
                    for key in sorted(crate.needs)
                ],
            }
            for crate in crates
        ],
        # Not put into the binary, but expected.
        "rustc": {
            "version": "",
            "wrapper": None,
            "workspace_wrapper": None,
            "commit_hash": "",
            "host": "",
            "verbose_version": "",
        },
    }
