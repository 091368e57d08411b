"""kas_file.py FILE: holds a kas file against kas's own schema, and wants every repository from elsewhere pinned."""

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import yaml

path = Path(sys.argv[1])
schema = json.loads((Path(find_spec("kas").origin).parent / "schema-kas.json").read_text())
file = yaml.safe_load(path.read_text())

faults = [
    f"{'/'.join(map(str, error.absolute_path)) or 'file'}: {error.message}"
    for error in jsonschema.Draft7Validator(schema).iter_errors(file)
]
for name, repo in file.get("repos", {}).items():
    if "url" in repo and not re.fullmatch("[0-9a-f]{40}", str(repo.get("commit"))):
        faults.append(f"repos/{name}: a full commit id is expected beside the url, got {repo.get('commit')}")
    for layer, state in (repo.get("layers") or {}).items():
        if "url" not in repo and state is None and not Path(layer, "conf/layer.conf").is_file():
            faults.append(f"repos/{name}: the layer {layer} has no conf/layer.conf here")
if not any("url" in repo for repo in file.get("repos", {}).values()):
    faults.append("repos: OE-core and BitBake are expected, got none with a url")

for fault in faults:
    print(f"{path}: {fault}", file=sys.stderr)
sys.exit(bool(faults))
