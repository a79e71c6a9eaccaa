"""A person at JupyterLab, played by headless Chromium: run cells, look at them, restart."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from painter import WEBGL

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false"},
}
"""Of JupyterLab: all cells are in the page, and it asks for no news."""
LONG_S = 1800
"""That a cell may take on a busy machine."""
WRONG = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type$='jupyter.stderr']"
"""What a cell shows if it failed, or warns."""


@contextmanager
def jupyter_lab(folder, log, app="jupyterlab"):
    """Serve a folder without a password on this machine only; yield the address."""
    own = Path(log).with_suffix("")
    for name, known in SETTINGS.items():
        path = own / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(known))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        f"--notebook-dir={folder}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    known = {"PYTHONPATH": str(ROOT), "JUPYTERLAB_SETTINGS_DIR": str(own)}
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", app, *options], stdout=out, stderr=out, env=os.environ | known
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def chromium_page():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=WEBGL, timeout=180000)
        yield chromium.new_context(viewport={"width": 1300, "height": 1000}).new_page()
        chromium.close()


def picture(element):
    """Return a screenshot of an element: (h, w, 3) ndarray in [0, 1]."""
    return matplotlib.image.imread(io.BytesIO(element.screenshot(timeout=120000)))[..., :3]


def coloured(shown):
    """Return the share of pixels that are neither black, grey nor white."""
    return float((np.ptp(shown, axis=-1) > 0.15).mean())


def until(true, wait_s=LONG_S, what=""):
    """Wait until a function returns something true, and return that."""
    end = time.monotonic() + wait_s
    while not (found := true()):
        assert time.monotonic() < end, f"waited {wait_s} s in vain: {what}"
        time.sleep(0.3)
    return found


class Notebook:
    """A notebook in a page of JupyterLab, whose cells are counted as in the file."""

    def __init__(self, page, address, name):
        self.page, self.taken = page, 0
        page.set_default_timeout(120000)
        page.set_viewport_size({"width": 1300, "height": 1500})
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_selector("#jp-main-statusbar >> text=/Idle/", timeout=300000)

    def cell(self, number):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def menu(self, *names):
        """Choose from the menus, as Run, Run All Cells."""
        self.page.click(f".lm-MenuBar-itemLabel:text-is('{names[0]}')")
        self.page.click(f".lm-Menu-itemLabel:text-is('{names[1]}')")

    def run(self, *numbers):
        """Run cells, one after the other; fail if one fails or warns."""
        for number in numbers:
            prompt = self.cell(number).locator(".jp-InputPrompt")
            before = prompt.inner_text()
            self.cell(number).locator(".cm-content").click(position={"x": 2, "y": 5})
            self.page.keyboard.press("Control+Enter")
            until(lambda: prompt.inner_text() != before, 60, f"cell {number} begins")  # noqa: B023
            self.wait(number)

    def wait(self, number):
        """Wait until a cell has run; fail if it failed or warns."""
        prompt = self.cell(number).locator(".jp-InputPrompt")
        until(lambda: prompt.inner_text().strip("[]: ").isdigit(), what=f"cell {number}")
        wrong = self.cell(number).locator(WRONG).all_inner_texts()
        assert not wrong, f"cell {number} says: {wrong}"

    def canvas(self, number):
        """Return the canvas of a painter or viewer, once it has drawn an image."""
        canvas = self.cell(number).locator("canvas:not(.plain)").first
        canvas.wait_for(state="attached", timeout=300000)
        canvas.scroll_into_view_if_needed()
        until(lambda: (picture(canvas) > 0.2).mean() > 0.05, 300, f"an image in cell {number}")
        return canvas

    def restart(self):
        """Restart the kernel, and say yes."""
        self.menu("Kernel", "Restart Kernel…")
        self.page.click(".jp-Dialog button:has-text('Restart')")
        self.page.wait_for_selector("#jp-main-statusbar >> text=/Idle/", timeout=300000)

    def keep(self, name, number=None):
        """Take a screenshot (of a cell's output, or of the window), if somebody wants to look."""
        folder = os.environ.get("PATCHSEG_SCREENSHOTS")
        if not folder:
            return
        self.taken += 1
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{self.taken:02d}_{name}.png"
        if number is None:
            self.page.screenshot(path=path, timeout=120000)
        else:
            self.cell(number).screenshot(path=path, timeout=120000)
