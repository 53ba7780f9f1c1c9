"""What is read of a folder with links, hidden names and folders that cannot be entered, and what is
reported as passed over."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError
from tests.support.project import PROJECT
from transforms.records.passed_over import Cause, PassedOver
from transforms.storage import walk
from transforms.storage.files import list_files, open_binary, read_whole


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder beside others."""
    for name in ("in/a/1.png", "in/a/2.png", "in/b.png", "out/secret.png", "out/deep/x.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def _listed(root: Path | str, **options: object) -> tuple[list[str], dict[str, list[str]]]:
    """The files, and the names passed over by cause, relative to the parent folder."""
    passed_over = PassedOver()
    found = list(list_files(str(root), passed_over, **options))  # type: ignore[arg-type]
    base = str(root).partition("*")[0]
    base = base[: base.rfind("/in") + 1]
    named = {
        str(cause): [os.path.relpath(name, base) for name in passed_over.names(cause)]
        for cause in passed_over.counts
    }
    assert passed_over.by_cause() == {
        cause: len(named[cause]) for cause in map(str, Cause) if cause in named
    }
    return [os.path.relpath(path, base) for path in found], named


PLAIN = ["in/b.png", "in/a/1.png", "in/a/2.png"]  # files of a folder before those of its subfolders


@pytest.mark.parametrize("relative", [False, True])
def test_links_within_the_folder_are_followed(root: Path, relative: bool) -> None:
    (root / "c.png").symlink_to("a/1.png" if relative else root / "a" / "1.png")
    (root / "d").symlink_to("a" if relative else root / "a")
    (root / "e.png").symlink_to("c.png" if relative else root / "c.png")  # a link to a link
    assert _listed(root) == (
        ["in/b.png", "in/c.png", "in/e.png", *PLAIN[1:], "in/d/1.png", "in/d/2.png"],
        {},
    )


@pytest.mark.parametrize("relative", [False, True])
def test_links_that_lead_out_are_named_and_followed_only_where_that_is_asked_for(
    root: Path, relative: bool
) -> None:
    out = "../out" if relative else str(root.parent / "out")
    (root / "l.png").symlink_to(f"{out}/secret.png")
    (root / "z").symlink_to(out)
    (root / "y").symlink_to("z")  # by way of a link inside the folder
    (root / "inside").symlink_to("../out/../in/a")  # out, and in again
    plain, within = PLAIN, ["in/inside/1.png", "in/inside/2.png"]
    assert _listed(root) == ([*plain, *within], {"link": ["in/l.png", "in/y", "in/z"]})
    behind = [f"in/{name}/{file}" for name in "yz" for file in ("secret.png", "deep/x.png")]
    assert _listed(root, follow_links=True) == (
        ["in/b.png", "in/l.png", *plain[1:], *within, *behind],
        {},
    )


def test_a_folder_whose_name_begins_as_the_inputs_does_lies_outside(root: Path) -> None:
    shutil.copytree(root, root.with_name("in-old"))
    (root / "z").symlink_to("../in-old")
    assert _listed(root) == (PLAIN, {"link": ["in/z"]})


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_to_nothing_and_in_circles_are_named(root: Path, follow_links: bool) -> None:
    (root / "gone.png").symlink_to("nowhere")
    (root / "self").symlink_to("self")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "same").symlink_to(".")
    (root / "p").mkdir()
    (root / "q").mkdir()
    (root / "p" / "to_q").symlink_to("../q")
    (root / "q" / "to_p").symlink_to("../p")
    above = ["in/above"] if follow_links else []
    if follow_links:
        (root / "above").symlink_to("../..")
    links = ["in/a/same", "in/a/up", *above, "in/gone.png"]
    circles = ["in/p/to_q/to_p", "in/q/to_p/to_q"]
    assert _listed(root, follow_links=follow_links) == (
        PLAIN,
        {"link": [*links, *circles, "in/self"]},
    )


def test_links_to_links_make_no_files_without_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of twelve folders has two links to the next: 4,095 ways to their files."""
    for number in range(12):
        folder = root / f"level{number:02d}"
        folder.mkdir()
        (folder / "x.png").touch()
        for name in "lr":
            (folder / name).symlink_to(f"../level{number + 1:02d}")
    monkeypatch.setattr(walk, "MOST_VISITS", 5)
    found, passed_over = _listed(root)
    visits = [sum(name.endswith("/x.png") for name in found)]
    assert visits[0] <= 12 * (1 + 5)
    assert len(passed_over["link"]) > 12


def test_other_things_are_listed_for_their_readers_to_reject(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "pipe.png")
    (root / "to_pipe.png").symlink_to("pipe.png")
    (root / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(root / "plug.png"))
    found, passed_over = _listed(root)
    assert found == [f"in/{name}" for name in ("b.png", "pipe.png", "plug.png", "to_pipe.png")] + [
        *PLAIN[1:]
    ]
    assert passed_over == {"link": ["in/device.png"]}
    for name in ("pipe.png", "to_pipe.png", "plug.png", "device.png"):
        with pytest.raises(OSError, match=r"not a regular file|No such device"):
            read_whole(str(root / name), 100, str(root.resolve()))


def test_what_is_given_by_its_own_path_is_read(root: Path) -> None:
    (root.parent / "in2").symlink_to("in")
    (root / "l.png").symlink_to("../out/secret.png")
    (root / ".h").mkdir()
    (root / ".h" / ".x.png").touch()
    assert next(list_files(str(root.parent / "in2"))).endswith("/in2/b.png")
    for name in ("l.png", ".h/.x.png"):
        assert _listed(root / name, exclude=["*.png"]) == ([f"in/{name}"], {})


def test_hidden_names_are_counted_and_not_entered(root: Path) -> None:
    for name in (".hidden.png", ".git/x.png", "a/._1.png", "_DSC1.png", "..png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    hidden = ["in/..png", "in/.git", "in/.hidden.png", "in/a/._1.png"]
    assert _listed(root) == (["in/_DSC1.png", *PLAIN], {"hidden": hidden})
    (root / ".git" / ".deep").mkdir()
    assert _listed(root / ".git") == (["in/.git/x.png"], {"hidden": ["in/.git/.deep"]})


MASKS = [
    "in/m/ground_truth/a_mask.tiff",
    "in/m/ground_truth/cut/001_mask.png",
    "in/m/ground_truth/cut/deep/x.y_mask.PNG",
]
OTHERS = [
    "in/m/ground_truth.png",
    "in/m/ground_truth/mask.png",
    "in/m/ground_truth/other.png",
    "in/m/ground_truth/cut/001.png",
    "in/m/ground_truth/cut/001_mask",
    "in/m/ground_truth/cut/_mask.png",
    "in/m/ground_truth/cut/001_mask.png.png",
    "in/m/ground_truth/cut/001_masks.png",
    "in/m/ground_truths/001_mask.png",
    "in/m/my_ground_truth/001_mask.png",
    "in/m/test/001_mask.png",
]


@pytest.fixture
def mvtec(root: Path) -> Path:
    """A folder with defect masks next to other files."""
    for name in (*MASKS, *OTHERS):
        path = root.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_masks_of_defects_are_passed_over_in_a_folder(mvtec: Path) -> None:
    found, named = _listed(mvtec)
    assert sorted(found) == sorted([*PLAIN, *OTHERS])
    assert named == {"mask": sorted(MASKS)}
    found, named = _listed(mvtec / "m")
    assert sorted(found) == sorted(OTHERS)
    assert named == {"mask": sorted(MASKS)}


@pytest.mark.parametrize("pattern", ["**", "m/**", "*/ground_truth/**", "m/g*/**"])
def test_masks_of_defects_are_passed_over_where_a_pattern_has_them(
    mvtec: Path, pattern: str
) -> None:
    found, named = _listed(f"{mvtec}/{pattern}")
    assert not set(found) & set(MASKS)
    assert {"in/m/ground_truth/other.png", "in/m/ground_truth/cut/001.png"} <= set(found)
    assert named == {"mask": sorted(MASKS)}


def test_a_pattern_of_nothing_but_masks_has_no_file(mvtec: Path) -> None:
    with pytest.raises(InputError, match=r"no files match .* \(passed over: 1 mask\)"):
        list(list_files(f"{mvtec}/*/ground_truth/cut/*1_mask.png", PassedOver()))


def test_masks_that_are_given_themselves_are_read(mvtec: Path) -> None:
    for name in MASKS:
        assert _listed(mvtec.parent / name) == ([name], {})
    own = [name for name in (*MASKS, *OTHERS) if "/ground_truth/" in name]
    found, named = _listed(mvtec / "m" / "ground_truth")
    assert (sorted(found), named) == (sorted(own), {})
    below = [name for name in own if "/cut/" in name]
    found, named = _listed(mvtec / "m" / "ground_truth" / "cut")
    assert (sorted(found), named) == (sorted(below), {})
    assert _listed(f"{mvtec}/m/ground_truth/*_mask.*") == ([MASKS[0]], {})
    assert _listed(f"{mvtec}/m/ground_truth/**_mask.png") == (
        ["in/m/ground_truth/cut/001_mask.png", "in/m/ground_truth/cut/_mask.png"],
        {},
    )


def test_a_mask_that_is_excluded_or_hidden_is_told_once(mvtec: Path) -> None:
    (mvtec / "m" / "ground_truth" / "cut" / ".h_mask.png").touch()
    _, named = _listed(mvtec, exclude=["deep/"])
    assert named == {
        "excluded": ["in/m/ground_truth/cut/deep"],
        "mask": ["in/m/ground_truth/a_mask.tiff", "in/m/ground_truth/cut/.h_mask.png", MASKS[1]],
    }


def test_what_a_pattern_matches_obeys_the_same_rules(root: Path) -> None:
    (root / "l.png").symlink_to("../out/secret.png")
    (root / "other.txt").touch()
    (root / ".a").mkdir()
    (root / ".a" / "h.png").touch()
    (root / "z").symlink_to("../out")
    assert _listed(f"{root}/*.png") == (["in/b.png"], {"link": ["in/l.png"]})
    assert _listed(f"{root}/*/*.png") == (PLAIN[1:], {"hidden": ["in/.a"], "link": ["in/z"]})
    assert _listed(f"{root}/**.png", exclude=["2.*"]) == (
        PLAIN[:2],
        {"hidden": ["in/.a"], "link": ["in/l.png", "in/z"], "excluded": ["in/a/2.png"]},
    )
    assert _listed(f"{root}/.*/*.png") == (["in/.a/h.png"], {})
    assert _listed(f"{root}/*/deep/*.png", follow_links=True)[0] == ["in/z/deep/x.png"]
    with pytest.raises(
        InputError, match=r"no files match .*1 link; links that lead out of it or are broken: 1;"
    ):
        list(list_files(f"{root}/l*.png"))


@pytest.mark.parametrize("pattern", ["*.png", "a/*", "**", "./*/?.png", "[ab]*"])
def test_patterns_from_the_folder_one_is_in(
    root: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Beam finds them, which does not distinguish links and hidden names."""
    monkeypatch.chdir(root)
    (found,) = FileSystems.match([pattern if "/" in pattern else f"./{pattern}"])
    expected = sorted(os.path.normpath(m.path) for m in found.metadata_list)
    assert sorted(map(os.path.normpath, list_files(pattern))) == expected


def test_a_folder_that_cannot_be_entered_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "lost+found").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith(("lost+found", "in/")):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    assert _listed(root) == (PLAIN, {"not_entered": ["in/lost+found"]})
    assert _listed(root, exclude=["lost+found"]) == (PLAIN, {"excluded": ["in/lost+found"]})
    with pytest.raises(InputError, match=r"cannot list .*/in/: Permission denied"):
        list(list_files(f"{root}/"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_another_user_is_named(root: Path) -> None:
    (root / "lost+found").mkdir(mode=0o700)
    for parent in (root, *root.parents):
        parent.chmod(parent.stat().st_mode | 0o055)
    program = (
        "import os, sys\n"
        "from transforms.storage.files import list_files\n"
        "from transforms.records.passed_over import PassedOver\n"
        "os.setuid(65534)\n"
        "told = PassedOver()\n"
        "print(len(list(list_files(sys.argv[1], told))), told.by_cause())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3 {'not_entered': 1}\n"


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_link_that_comes_after_the_listing_opens_nothing_outside(
    root: Path, swapped: str
) -> None:
    (path, *_) = [path for path in list_files(str(root)) if path.endswith("a/1.png")]
    real = str(root.resolve())
    assert read_whole(path, 100, real) == b"in/a/1.png"
    (root.parent / "out" / "1.png").write_bytes(b"secret")
    if swapped == "file":
        Path(path).unlink()
        Path(path).symlink_to(root.parent / "out" / "1.png")
    else:
        (root / "a").rename(root / "old")
        (root / "a").symlink_to("../out")
    assert read_whole(path, 100) == b"secret"
    with pytest.raises(OSError, match="is outside"):
        read_whole(path, 100, real)
    with pytest.raises(OSError, match="is outside"):
        open_binary(path, real)


def test_where_the_system_does_not_tell_what_is_open_the_path_does(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def readlink(path: str) -> str:
        raise FileNotFoundError(path)

    (root / "l.png").symlink_to("../out/secret.png")
    real = str(root.resolve())
    monkeypatch.setattr(walk.os, "readlink", readlink)
    monkeypatch.setattr(walk.os.path, "realpath", lambda path: f"{real}/b.png")
    with pytest.raises(OSError, match="changed while it was opened"):
        open_binary(str(root / "l.png"), real)
    with open_binary(str(root / "b.png"), real) as file:
        assert file.read() == b"in/b.png"
