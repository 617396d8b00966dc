"""Builds of another commit, to compare this checkout with."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.engines import ROOT

FOLDER = ROOT / "target/base"


@dataclass(frozen=True)
class Base:
    """What was built of a commit."""

    #: The short hash.
    name: str
    #: A folder to import the Python package from.
    package: Path
    #: The Rust worker, if the commit has one that this harness can talk to.
    rust: Path | None


def build(commit: str) -> Base:
    """Builds package and Rust worker of `commit`, unless that was done before.

    Raises CalledProcessError if something does not build."""
    name = _output("git", "rev-parse", "--short=10", f"{commit}^{{commit}}")
    tree, package = FOLDER / name / "tree", FOLDER / name / "package"
    rust = FOLDER / name / "fuzarr-bench"
    if not package.exists():
        print(f"Building {name}", flush=True)
        _run("git", "worktree", "prune")
        if not tree.exists():
            _run("git", "worktree", "add", "--quiet", "--detach", "--force", str(tree), name)
        try:
            _build(tree, package, rust)
        finally:
            _run("git", "worktree", "remove", "--force", str(tree))
    return Base(name, package, rust if rust.exists() else None)


def _build(tree: Path, package: Path, rust: Path) -> None:
    # One for all bases: most of what they need is the same.
    cargo = {"CARGO_TARGET_DIR": str(FOLDER / "build")}
    if _has_worker(tree):
        _run("cargo", "build", "--release", "--quiet", "-p", "fuzarr-bench", cwd=tree, **cargo)
        (FOLDER / "build/release/fuzarr-bench").replace(rust)
    wheels = package.with_name("wheels")
    maturin = Path(sys.executable).with_name("maturin")
    manifest = "crates/fuzarr-python/Cargo.toml"
    _run(
        *(str(maturin), "build", "--release", "--quiet", "-m", manifest, "--out", str(wheels)),
        *("--interpreter", sys.executable),
        cwd=tree,
        **cargo,
    )
    (wheel,) = wheels.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "--no-deps", "--target", str(package), str(wheel))


def _has_worker(tree: Path) -> bool:
    """Whether the commit's benchmark answers requests; an older one would run by itself."""
    return (tree / "bench/src/protocol.rs").exists()


def _run(*command: str, cwd: Path = ROOT, **environment: str) -> None:
    subprocess.run(command, cwd=cwd, env=os.environ | environment, check=True)


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
