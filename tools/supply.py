"""What this package is built on: is what is installed what is pinned, and a bill of it.

    python tools/supply.py check          exit code 1, and a line for each difference, where there are any
    python tools/supply.py bill FILE      a bill of materials of what is installed (CycloneDX 1.6, JSON)
    python tools/supply.py pins [EXTRA..] the lines of constraints.txt that the package needs to run, with such extras
    python tools/supply.py spare [EXTRA..] names of what is installed and not needed for that

None asks anybody on the network.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINS = Path(__file__).parents[1] / "constraints.txt"
OWN = "selftaught"
UNPINNED = {OWN, "pip"}  # what is installed, and what installs


def pinned(text: str) -> dict[str, dict[str, Any]]:
    """{name: {version, hashes}} of the lines of constraints.txt that concern this machine.

    Raises ValueError for a line that is no name with one version and hashes.
    """
    pins: dict[str, dict[str, Any]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        named, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        wanted = Requirement(named)
        version = "".join(spec.version for spec in wanted.specifier if spec.operator == "==")
        if len(wanted.specifier) != 1 or not version:
            raise ValueError(f"{named} is not one version")
        if not hashes or not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in hashes):
            raise ValueError(f"{named} has no hashes")
        if wanted.marker is None or wanted.marker.evaluate():
            pins[canonicalize_name(wanted.name)] = {"version": version, "hashes": hashes}
    return pins


def installed() -> dict[str, metadata.Distribution]:
    """What is installed here, by canonical name."""
    return {canonicalize_name(one.metadata["Name"]): one for one in metadata.distributions()}


def differences() -> Iterator[str]:
    """A line for each package that is not as constraints.txt has it, and for each need that is not met."""
    pins, here = pinned(PINS.read_text()), installed()
    for name in sorted(pins.keys() | here.keys() - UNPINNED):
        wanted = pins[name]["version"] if name in pins else "nothing"
        found = here[name].version if name in here else "nothing"
        if wanted != found:
            yield f"{name}: {PINS.name} has {wanted}, and {found} is installed"
    needs = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    yield from needs.stdout.splitlines() if needs.returncode else ()


def needed(*extras: str) -> set[str]:
    """Names of all that the package needs to run here with these extras, itself among them.

    Raises ValueError for an extra that it has not.
    """
    here, seen, waiting = installed(), set[tuple[str, frozenset[str]]](), [(OWN, frozenset(extras))]
    if odd := set(extras) - set(here[OWN].metadata.get_all("Provides-Extra") or ()):
        raise ValueError(f"{OWN} has no extra {', '.join(sorted(odd))}")
    while waiting:
        name, chosen = one = waiting.pop()
        if one in seen or name not in here:
            continue
        seen.add(one)
        for need in map(Requirement, here[name].requires or ()):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    return {name for name, _ in seen}


def pins(*extras: str) -> list[str]:
    """Lines that pip takes with --require-hashes, for all that is needed with these extras besides the package."""
    known = pinned(PINS.read_text())
    wanted = [(name, known[name]) for name in sorted(needed(*extras) - {OWN})]
    return [f"{name}=={pin['version']} --hash=sha256:{' --hash=sha256:'.join(pin['hashes'])}" for name, pin in wanted]


def bill() -> dict[str, Any]:
    """All that is installed, as CycloneDX has it: what it is, under which licence, and what it needs."""
    pins, here = pinned(PINS.read_text()), installed()
    parts = {name: _part(name, one, pins.get(name)) for name, one in sorted(here.items())}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**parts.pop(OWN), "type": "application"}},
        "components": list(parts.values()),
        "dependencies": [{"ref": _reference(one), "dependsOn": sorted(_needs(one, here))} for one in here.values()],
    }


def _part(name: str, one: metadata.Distribution, pin: dict[str, Any] | None) -> dict[str, Any]:
    licence = one.metadata.get("License-Expression") or one.metadata.get("License") or ""
    named = {"licenses": [{"license": {"name": licence.splitlines()[0][:200]}}]} if licence.strip() else {}
    known = [{"name": f"{OWN}:pinned", "value": f"sha256:{value}"} for value in (pin or {}).get("hashes", ())]
    reference = _reference(one)
    about = {"type": "library", "bom-ref": reference, "purl": reference, "name": name, "version": one.version}
    return {**about, **named, **({"properties": known} if known else {})}


def _needs(one: metadata.Distribution, here: dict[str, metadata.Distribution]) -> set[str]:
    """References of what a package needs, with no extra of it, and has here."""
    wanted = [Requirement(line) for line in one.requires or ()]
    names = {canonicalize_name(need.name) for need in wanted if not need.marker or need.marker.evaluate({"extra": ""})}
    return {_reference(here[name]) for name in names & here.keys()}


def _reference(one: metadata.Distribution) -> str:
    """A package URL, which names a package and no server."""
    return f"pkg:pypi/{canonicalize_name(one.metadata['Name'])}@{one.version}"


def main(*arguments: str) -> int:
    match arguments:
        case ("check",):
            told = list(differences())
            print("\n".join(told) or "installed is what is pinned, and nothing is missing")
            return bool(told)
        case ("bill", file):
            Path(file).write_text(json.dumps(bill(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return 0
        case ("pins", *extras):
            print("\n".join(pins(*extras)))
            return 0
        case ("spare", *extras):
            print("\n".join(sorted(installed().keys() - needed(*extras) - UNPINNED)))
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
