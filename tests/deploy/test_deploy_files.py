"""The files of ``deploy/`` agree with the program, and with each other."""

import fnmatch
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ppcls import cli, load_config
from ppcls.commands import serve
from ppcls.config.find import recipes
from tests.helpers.command_line import TOOLS
from tests.helpers.deploy_files import (
    DEPLOY,
    DOCKERFILES,
    LAUNCHER,
    commands,
    compose,
    image_of,
    instructions,
    last,
    manifest,
    manifests,
)
from tests.helpers.recipes import ROOT

COMMANDS = commands()


def options(words):
    """Return what the program's own parser makes of a command."""
    if words[0] == "ppcls":
        return cli._parser()[0].parse_args(words[1:])
    assert words[0] in ("python", "python3")
    script = next(index for index, word in enumerate(words) if word.endswith(".py"))
    return cli._parser()[0].parse_args([TOOLS[Path(words[script]).stem], *words[script + 1 :]])


def test_commands_are_found_in_every_kind_of_file():
    found = {where.split()[0] for where, _ in COMMANDS}
    names = {"compose", "serving.yaml", "training-paddlejob.yaml", "slurm.sh", "README.md", "docker-compose.yaml"}
    assert found == names | {path.name for path in DOCKERFILES}
    assert len([words for _, words in COMMANDS if words[1:3] == LAUNCHER]) == 2


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_commands_are_accepted(where, words, monkeypatch):
    if words[1:] == ["--help"]:
        return
    given = options(words)
    recipe = getattr(given, "config", None)
    if recipe and recipe.removeprefix("configs/").removesuffix(".yaml") + ".yaml" in recipes():
        load_config(recipe, [value for values in given.override or [] for value in values])
    if words[1:3] == LAUNCHER:
        from paddle.distributed.launch.context import args_envs

        monkeypatch.setattr("sys.argv", words[2:])
        _, unknown = args_envs.parse_args()
        assert not unknown


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_run_without_root_and_get_signals(path):
    assert int(last(path, "USER")) > 0
    assert json.loads(last(path, "ENTRYPOINT"))[0] == "ppcls"
    assert instructions(path)[-1][0] == "CMD"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_images_copy_is_sent_to_docker(path):
    patterns = (ROOT / ".dockerignore").read_text().split("\n")
    sent = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for name in sent:
        assert list(ROOT.glob(name)), name
    needed = ["pyproject.toml", "README.md", "LICENSE", "ppcls", "configs"]
    for instruction, arguments in instructions(path):
        if instruction == "COPY" and not arguments.startswith("--from"):
            needed += [source for source in arguments.split()[:-1] if source != "."]
        needed += re.findall(r"-r (\S+)", arguments)
    for name in needed:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in sent), name


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_pass_the_linter(path):
    linter = shutil.which("hadolint")
    if not linter:
        pytest.skip("needs hadolint")
    done = subprocess.run([linter, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_accepts_its_file():
    program = shutil.which("docker-compose")
    if not program:
        pytest.skip("needs docker-compose")
    command = [program, "-f", str(DEPLOY / "docker-compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_compose_names_the_files_that_are_there():
    for service in compose().values():
        build = service["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        assert f"-t {service['image']} " in (DEPLOY / build["context"] / build["dockerfile"]).read_text()


def test_servers_have_more_time_to_end_than_they_take():
    services = [compose()[name] for name in ("serve", "serve-gpu")]
    pod = manifest("serving.yaml", "Deployment")["spec"]["template"]["spec"]
    for words, seconds in (
        *((service["command"], int(service["stop_grace_period"].removesuffix("s"))) for service in services),
        (pod["containers"][0]["args"], pod["terminationGracePeriodSeconds"]),
    ):
        given = cli._parser()[0].parse_args(["serve", *words])
        assert seconds > given.drain + given.shutdown_timeout
    probe = pod["containers"][0]["readinessProbe"]
    assert given.drain > probe["periodSeconds"] * probe["failureThreshold"]


def test_the_parts_of_serving_fit_together():
    deployment, service, scaler, budget = (
        manifest("serving.yaml", kind)
        for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    )
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == budget["spec"]["selector"]["matchLabels"]
    assert labels == service["spec"]["selector"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    given = cli._parser()[0].parse_args(["serve", *container["args"]])
    assert given.port == port["containerPort"]
    assert given.threads == int(container["resources"]["limits"]["cpu"])
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
    assert container["env"][0]["name"] == serve._KEY
    assert given.model == container["volumeMounts"][0]["mountPath"]
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert budget["spec"]["minAvailable"] < scaler["spec"]["minReplicas"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_pods_run_as_the_images_user():
    job = manifest("training-paddlejob.yaml", "PaddleJob")["spec"]["worker"]["template"]["spec"]
    pod = manifest("serving.yaml", "Deployment")["spec"]["template"]["spec"]
    users = {spec["securityContext"]["runAsUser"] for spec in (job, pod)}
    assert users == {int(last(path, "USER")) for path in DOCKERFILES}


def test_kubernetes_accepts_the_manifests():
    validation = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for document in manifests("serving.yaml"):
        validation.validate(document, validation.latest_version(), strict=True)


def kustomized(folder):
    """Return what kubectl makes of a folder, by kind."""
    program = shutil.which("kubectl")
    if not program:
        pytest.skip("needs kubectl")
    command = [program, "kustomize", str(DEPLOY / "kubernetes" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}


def test_pods_with_gpus_are_those_without_but_for_the_gpu():
    plain, gpu = kustomized("serving"), kustomized("serving-gpu")
    assert plain == {document["kind"]: document for document in manifests("serving.yaml")}
    changed = {kind for kind in plain if plain[kind] != gpu[kind]}
    assert changed == {"Deployment"}
    (before,), (after,) = (made["Deployment"]["spec"]["template"]["spec"]["containers"] for made in (plain, gpu))
    assert after["args"] == [*before["args"], "--device=gpu"]
    assert cli._parser()[0].parse_args(["serve", *after["args"]]).device == "gpu"
    assert after["resources"]["limits"]["nvidia.com/gpu"] == 1
    names = [container["image"].rpartition("/")[2].partition(":")[0] for container in (before, after)]
    assert names == [image_of(DEPLOY / "docker" / name) for name in ("serve.Dockerfile", "serve.gpu.Dockerfile")]


def test_the_lock_file_names_no_addresses():
    packages = json.loads((DEPLOY / "web" / "package-lock.json").read_text())["packages"]
    assert {"node_modules/onnxruntime-web", "node_modules/onnxruntime-node", "node_modules/sharp"} <= set(packages)
    assert not any("resolved" in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)


def test_yaml_files_are_all_looked_at():
    found = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.yaml") if "node_modules" not in path.parts}
    kubernetes = ("serving/kustomization", "serving/serving", "serving-gpu/kustomization", "training-paddlejob")
    assert found == {
        "configs/inference_cls.yaml",
        "docker-compose.yaml",
        *(f"kubernetes/{name}.yaml" for name in kubernetes),
    }
    for name in found:
        assert list(yaml.safe_load_all((DEPLOY / name).read_text()))
