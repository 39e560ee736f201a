#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--check says FILE:LINE: KEY: WORDS for every error; --dump-config shows what holds; the sample and the manual in the
tree are what the program writes; man finds nothing wrong with the manuals."""

import os
import shutil
import subprocess

from lib_daemon import ISTHMUSCTL, Daemon, run

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def text_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def check_pages():
    for page in ("doc/isthmusd.8", "doc/isthmusctl.1", "doc/isthmus.conf.5"):
        path = os.path.join(ROOT, page)
        said = subprocess.run(["man", "--warnings", "-l", "-Tutf8", path], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}, check=True)
        assert not said.stderr, said.stderr
        assert len(said.stdout) > 500, page
    if shutil.which("mandoc"):
        for page in ("doc/isthmusd.8", "doc/isthmusctl.1", "doc/isthmus.conf.5"):
            said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(ROOT, page)], capture_output=True,
                                  text=True, check=False)
            assert not said.stdout, said.stdout


def check_options():
    assert run("--version").stdout.startswith("isthmusd ")
    assert run("--help").returncode == 0
    for wrong in (["--nonsense"], ["word"], ["--dump-config=nonsense"]):
        assert run(*wrong).returncode == 2, wrong


def main():
    assert run("--dump-config=sample").stdout == text_of("etc/isthmus.conf")
    assert run("--dump-config=manual").stdout == text_of("doc/isthmus.conf.5")
    sample = run("-c", os.path.join(ROOT, "etc/isthmus.conf"), "--check")
    assert sample.returncode == 0, sample.stderr
    missing = run("-c", "/no/such.conf", "--check")
    assert missing.returncode == 1
    assert missing.stderr == "/no/such.conf: cannot be read: No such file or directory\n", missing.stderr
    check_options()

    with Daemon('log = { level = "warn"; };\nregion = { name = "fra"; id = 300; };\nstorrage = { };') as d:
        wrong = run("-c", d.config, "--check")
        assert wrong.returncode == 1 and wrong.stdout == "", wrong
        assert wrong.stderr == ("%s:4: region.id: 300 is outside 0 to 255\n"
                                "%s:5: storrage: unknown key; is storage meant?\n" % (d.config, d.config)), wrong.stderr
        # Without --check it is the same, and nothing is started.
        assert run("-c", d.config).stderr == wrong.stderr
        ctl = subprocess.run([ISTHMUSCTL, "config", "check", d.config], capture_output=True, text=True, check=False)
        assert (ctl.returncode, ctl.stderr) == (1, wrong.stderr), ctl

        d.configure('log = { level = "warn"; };\nauth = { api_key_file = "%s/key"; };' % d.folder)
        unread = run("-c", d.config, "--check")
        assert unread.returncode == 1 and "auth.api_key_file: %s/key: cannot be read" % d.folder in unread.stderr, unread.stderr

        d.configure('log = { level = "warn"; };')
        shown = run("-c", d.config, "--dump-config").stdout
        assert '\tlevel = "warn";  # %s:3\n' % d.config in shown, shown
        assert '\tmap_size = "1GiB";  # %s:2\n' % d.config in shown, shown
        assert '\tlog_size = "8GiB";  # default\n' in shown, shown
        assert not os.path.exists(os.path.join(d.folder, "data"))
    if shutil.which("man"):
        check_pages()


main()
