"""How long a stroke and a change of the slice take in the painter, in headless Chromium.

    python benchmarks/painter.py [--size 512] [--brain chimp]

The painter's canvas is opened in a page without JupyterLab, in which a few lines stand for the
model of a widget. On a computer without a graphics card Chromium draws with the processor, which is
slower than any card. A stroke is timed from each movement of the mouse until it is drawn.
"""

import argparse
import base64
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from patchseg.figures.painter import Painter

WEBGL = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--use-gl=angle",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--no-first-run",
]
PAGE = """<!DOCTYPE html><body style="margin:0"><div class="patchseg-painter" id="root"></div>
<script>
window.sent = [];
window.model = {
  handlers: {},
  get(name) { return this.state[name]; },
  set(name, value) {
    if (typeof name === "object") return Object.entries(name).forEach(([n, v]) => this.set(n, v));
    this.state[name] = value;
    this.fire(`change:${name}`);
  },
  save_changes() {},
  on(name, call) { (this.handlers[name] ??= []).push(call); },
  off(name, call) { this.handlers[name] = (this.handlers[name] ?? []).filter((c) => c !== call); },
  fire(name, ...given) { (this.handlers[name] ?? []).forEach((call) => call(...given)); },
  send_sync_message() {}, // of scene and image, of which the painter takes no notice
  send(content, _, buffers = []) {
    const coded = buffers.map((one) => {
      let text = "";
      for (const byte of new Uint8Array(one)) text += String.fromCharCode(byte);
      return btoa(text);
    });
    window.sent.push([content, coded]);
  },
  widget_manager: { get_model: async () => window.model },
};
const fetched = async (url) => new DataView(await (await fetch(url)).arrayBuffer());
window.receive = async (content, urls) =>
  model.fire("msg:custom", content, await Promise.all(urls.map(fetched)));
window.start = async (esm, state) => {
  model.state = state;
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  await widget.initialize({ model });
  await widget.render({ model, el: document.getElementById("root") });
};
window.drawn = () => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
window.timed = async (type, places) => {
  const canvas = document.querySelector("canvas:not(.plain)");
  const taken = [];
  for (const [clientX, clientY, deltaY] of places) {
    const before = performance.now();
    const kind = type === "wheel" ? WheelEvent : MouseEvent;
    const given = { clientX, clientY, deltaY, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new kind(type, given));
    await new Promise((go) => requestAnimationFrame(go));
    taken.push(performance.now() - before);
  }
  return taken;
};
</script>"""


class Shown:
    """A painter in a page of Chromium, with what it sends to Python taken by `pump`."""

    def __init__(self, page, painter, wait_s=120):
        self.page, self.painter = page, painter
        page.set_content(PAGE)
        painter.canvas.send = self._send
        state = painter.canvas.get_state()
        esm = state.pop("_esm")
        page.evaluate("([esm, state]) => start(esm, state)", [esm, state])
        end = time.monotonic() + wait_s
        while not painter.shown and time.monotonic() < end:
            self.pump()
            page.wait_for_timeout(20)
        self.settle()

    def _send(self, content, buffers=()):
        with served(buffers or ()) as urls:
            self.page.evaluate("([content, urls]) => receive(content, urls)", [content, urls])

    def pump(self):
        """Hand what the browser has sent to the painter."""
        for content, coded in self.page.evaluate("sent.splice(0)"):
            self.painter._told(content, [base64.b64decode(one) for one in coded])
        place = self.page.evaluate("model.state.place")
        if list(self.painter.canvas.place) != place:
            self.painter.canvas.place = place

    def settle(self):
        """Wait until all is drawn, and take what was sent."""
        self.page.evaluate("drawn()")
        self.page.wait_for_timeout(80)
        self.pump()

    def stroke(self, *places):
        """Draw with the mouse through places (shares of the canvas)."""
        mouse, box = self.page.mouse, self.box()
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        mouse.move(*at[0])
        mouse.down()
        for one in at[1:]:
            mouse.move(*one, steps=8)
        mouse.up()
        self.settle()

    def key(self, *names):
        """Press keys, one after the other, as after a click on the canvas."""
        self.page.locator("canvas:not(.plain)").focus()
        for name in names:
            self.page.keyboard.press(name)
        self.settle()

    def box(self):
        """Return where the canvas lies in the page."""
        return self.page.locator("canvas:not(.plain)").bounding_box()


@contextmanager
def served(buffers):
    """Yield an address for each buffer, from which the browser takes its bytes as they are."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            buffer = buffers[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(buffer)))
            self.end_headers()
            self.wfile.write(buffer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [f"http://127.0.0.1:{server.server_port}/{at}" for at in range(len(buffers))]
        server.shutdown()


@contextmanager
def chromium():
    """Yield a page of headless Chromium that draws with WebGL, and the version."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=WEBGL)
        yield opened.new_page(viewport={"width": 1200, "height": 460}), opened.version
        opened.close()


def spent():
    """Return seconds of the processor that this process and the browser have taken."""
    own = psutil.Process()
    times = [one.cpu_times() for one in [own, *own.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def measure(page, image, folder):
    """Return milliseconds of the movements of a stroke and of changes of the slice."""
    path = Path(folder) / "image.nii.gz"
    nib.save(image, path)
    began, before = time.perf_counter(), spent()
    painter = Painter(path, Path(folder) / "labels.nii.gz")
    shown = Shown(page, painter, 600)
    opened = time.perf_counter() - began, spent() - before
    page.evaluate("model.set({pen: 3, pen_size: 5})")
    box = shown.box()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"]
    page.evaluate("places => timed('mousedown', places)", [[x, y, 0]])
    steps = [[x + 3 * n, y + n, 0] for n in range(1, 31)]
    moved = page.evaluate("places => timed('mousemove', places)", steps)
    ended = page.evaluate("places => timed('mouseup', places)", [steps[-1]])
    shown.settle()
    turned = page.evaluate("places => timed('wheel', places)", [[x, y, 100]] * 20)
    began = time.process_time()
    painter.save()
    return opened, moved, ended, turned, time.process_time() - began


def main():
    """Measure a made-up image and a brain of the zoo, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="edge of the made-up image in voxels")
    parser.add_argument("--brain", default="chimp", help="of the zoo")
    given = parser.parse_args()
    from patchseg.datasets import brains
    from patchseg.scoring import rows

    edge = (given.size,) * 3
    made = np.indices(edge, np.int16, sparse=True)
    ball = sum((axis - given.size // 2) ** 2.0 for axis in made) < (0.4 * given.size) ** 2
    noisy = np.random.default_rng(0).integers(0, 200, edge, np.uint8) * ball
    one = brains.load(given.brain)
    images = {
        f"{given.size}^3, made up": nib.Nifti1Image(noisy, np.eye(4)),
        f"{given.brain} {one.image.shape}": nib.Nifti1Image(one.image, one.affine),
    }
    for name, image in images.items():
        with tempfile.TemporaryDirectory() as folder, chromium() as (page, version):
            opened, moved, ended, turned, saved = measure(page, image, folder)
            print(f"{rows.machine()}; Chromium {version}; {name}")
            for what, taken in {"movement": moved, "end of it": ended, "slice": turned}.items():
                print(f"{what:>10}: median {np.median(taken):.0f}, most {max(taken):.0f} ms")
            print("opened in {:.1f} s, {:.1f} of the processor".format(*opened))
            print(f"saved in {saved:.1f} s of the processor")


if __name__ == "__main__":
    main()
