"""Reads what the files of ``deploy/`` start, from every format that they have."""

import json
import re
import shlex

import yaml
from packaging.requirements import Requirement

from tests.helpers.recipes import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted((DEPLOY / "docker").glob("*Dockerfile"))
LAUNCHER = ["-m", "paddle.distributed.launch"]


def requirements(name):
    """Return what a requirements file asks for, by distribution."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}


def instructions(path):
    """Return [instruction, arguments] of a Dockerfile, continued lines joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    return [line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def last(path, name):
    """Return the arguments of the last such instruction."""
    return [arguments for instruction, arguments in instructions(path) if instruction == name][-1]


def image_of(path):
    """Return the name that the file's own comment gives its image."""
    return re.search(r"-t (\S+)", path.read_text()).group(1)


def manifests(name):
    """Return the documents of a Kubernetes file, without the folder that it is in."""
    (path,) = (DEPLOY / "kubernetes").rglob(name)
    return list(yaml.safe_load_all(path.read_text()))


def manifest(name, kind):
    """Return the one of a kind."""
    (found,) = (document for document in manifests(name) if document["kind"] == kind)
    return found


def compose():
    """Return the services."""
    return yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())["services"]


def commands():
    """Return (where, words) of every command of ppcls, its tools and the launcher."""
    entries = {image_of(path): json.loads(last(path, "ENTRYPOINT")) for path in DOCKERFILES}
    found = [(path.name, entries[image_of(path)] + json.loads(last(path, "CMD"))) for path in DOCKERFILES]
    for name, service in compose().items():
        found.append((f"compose {name}", entries[service["image"]] + service["command"]))
    for name in ("serving.yaml", "training-paddlejob.yaml"):
        for container in _containers(manifests(name)):
            image = container["image"].rpartition("/")[2].partition(":")[0]
            found.append((name, container.get("command", entries[image]) + container["args"]))
    pages = [DEPLOY / "README.md", *DEPLOY.glob("*/README.md")]
    for path in [*pages, *DOCKERFILES, DEPLOY / "docker-compose.yaml", DEPLOY / "slurm.sh"]:
        found += [(path.name, words) for line in _shell_lines(path) for words in _of_line(line, entries)]
    return found


def _containers(documents):
    for document in documents:
        spec = document["spec"]
        template = spec.get("worker", spec).get("template")
        if template:
            yield from template["spec"]["containers"]


def _shell_lines(path):
    """Return the lines that a shell gets; those in a file's comments, too."""
    text = path.read_text()
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    return re.sub(r"\\\n(#\s)?\s*", " ", text).splitlines()


def _of_line(line, entries):
    """Yield the commands of ppcls in a line of shell, values of variables replaced by 1."""
    line = re.sub(r"\$\([^)]*\)|\$\w+", "1", line.lstrip("# ").replace("exec ", "").partition("' train")[0])
    if not re.match(r"(ppcls|python3?|docker|[A-Z_]+=\S+ docker)\b", line):
        return
    words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=\S+$", word)]
    if words[:3] == ["docker", "compose", "run"]:
        service = next(word for word in words[3:] if word in compose())
        yield entries[compose()[service]["image"]] + words[words.index(service) + 1 :]
    elif words[:2] == ["docker", "run"]:
        image = next(word for word in words if word in entries)
        if arguments := words[words.index(image) + 1 :]:  # else those of the Dockerfile
            yield entries[image] + arguments
    elif words[0] == "ppcls" or words[1:3] == LAUNCHER or words[1].startswith("tools/"):
        yield words
