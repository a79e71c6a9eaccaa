// What the painter adds to NiiVue: strokes that can be undone and redone, keys, and a copy of the
// image without labels beside it. canvas.py puts this text behind the module of ipyniivue and calls
// `painter`: `niivue()` returns the NiiVue object of that module, `widget` has its functions.
//
// The labels are `nv.drawBitmap`: a byte for each voxel, in RAS+ order, x running fastest.
// A box is {start: [x, y, z], size: [x, y, z]}; a stroke is a box with what was in it before and after.

function painter(niivue, widget) {
  const LOOK = 0; // the pens are: look, a pen for each label, erase
  const ALL_PLANES = 3; // the choices of the large plane are: sagittal, coronal, axial, all alike
  const FLOOD = 2; // the strokes are: brush, fill, flood
  const MOST_STROKES = 500; // that can be undone

  let before = null; // the labels as they were before the stroke that is being drawn
  let touched = null; // the box around that stroke
  let first = 0; // the brightness where it began
  let done = [];
  let undone = [];
  let hidden = false; // the labels, while H is held
  let plain = null; // the canvas beside NiiVue's, without labels

  const dims = () => niivue().back.dims.slice(1, 4);
  const index = ([x, y, z]) => x + dims()[0] * (y + dims()[1] * z);
  const place = () => Array.from(niivue().frac2vox(niivue().scene.crosshairPos), Math.round);

  /** Call `visit(index in the volume, index in the box)` for each voxel of a box. */
  function each({ start, size }, visit) {
    const [nx, ny] = dims();
    let at = 0;
    for (let z = 0; z < size[2]; z++)
      for (let y = 0; y < size[1]; y++) {
        const row = start[0] + nx * (start[1] + y + ny * (start[2] + z));
        for (let x = 0; x < size[0]; x++) visit(row + x, at++);
      }
  }

  function cut(volume, box) {
    const values = new Uint8Array(box.size[0] * box.size[1] * box.size[2]);
    each(box, (voxel, at) => (values[at] = volume[voxel]));
    return values;
  }

  function paste(volume, box, values) {
    each(box, (voxel, at) => (volume[voxel] = values[at]));
  }

  /** Return what says whether the pen may change a voxel: no lock, about as bright as the first. */
  function free(model) {
    const [locked, most, image] = [model.get("locked"), model.get("keep"), niivue().volumes[0].img];
    return (voxel) =>
      !locked.includes(before[voxel]) && (most <= 0 || Math.abs(image[voxel] - first) <= most);
  }

  /** Draw a disc of the pen's size, in the plane of the stroke, and widen the box around it. */
  function disc(model, x, y, z, value) {
    const nv = niivue();
    const axis = 2 - nv.drawPenAxCorSag;
    const centre = [x, y, z].map((at, side) => Math.min(Math.max(at, 0), dims()[side] - 1));
    const radius = (nv.opts.penSize - 1) / 2;
    if (!touched) first = nv.volumes[0].img[index(centre)];
    if (model.get("filled") === FLOOD) {
      if (!touched) flood(model, centre, value);
      return;
    }
    const allowed = free(model);
    const [low, high] = [-1, 1].map((sign) =>
      centre.map((at, side) =>
        side === axis
          ? at
          : Math.min(Math.max(at + sign * Math.floor(radius), 0), dims()[side] - 1),
      ),
    );
    for (let c = low[2]; c <= high[2]; c++)
      for (let b = low[1]; b <= high[1]; b++)
        for (let a = low[0]; a <= high[0]; a++) {
          const apart = Math.hypot(a - centre[0], b - centre[1], c - centre[2]);
          const voxel = index([a, b, c]);
          if (apart <= radius + 0.3 && allowed(voxel)) nv.drawBitmap[voxel] = value;
        }
    widen(low, high);
  }

  /** Paint the area of one label around a voxel, in the plane of the stroke, if it is enclosed. */
  function flood(model, seed, value) {
    const nv = niivue();
    const size = dims();
    const steps = [1, size[0], size[0] * size[1]]; // from a voxel to the next along each axis
    const sides = [0, 1, 2].filter((side) => side !== 2 - nv.drawPenAxCorSag);
    const allowed = free(model);
    const label = before[index(seed)];
    const area = new Set([index(seed)]);
    const [low, high] = [[...seed], [...seed]];
    for (const voxel of area)
      for (const side of sides) {
        const at = Math.floor(voxel / steps[side]) % size[side];
        if (at === 0 || at === size[side] - 1) return; // the border of the slice: not enclosed
        low[side] = Math.min(low[side], at);
        high[side] = Math.max(high[side], at);
        for (const next of [voxel - steps[side], voxel + steps[side]])
          if (before[next] === label && allowed(next)) area.add(next);
      }
    for (const voxel of area) if (allowed(voxel)) nv.drawBitmap[voxel] = value;
    widen(low, high);
  }

  function widen(low, high) {
    const start = touched ? touched.start.map((at, side) => Math.min(at, low[side])) : low;
    const end = touched ? touched.start.map((at, side) => at + touched.size[side]) : low;
    touched = { start, size: start.map((at, side) => Math.max(end[side], high[side] + 1) - at) };
  }

  /** Bring a box of the labels to the graphics card; NiiVue itself would bring all of them. */
  function upload(box) {
    const { gl, drawTexture, drawBitmap } = niivue();
    gl.activeTexture(gl.TEXTURE15);
    gl.bindTexture(gl.TEXTURE_3D, drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const values = cut(drawBitmap, box);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...box.start, ...box.size, gl.RED, gl.UNSIGNED_BYTE, values);
  }

  function tell(model, box, values) {
    const content = {
      event: "stroke",
      start: box.start,
      size: box.size,
    };
    try {
      model.send(content, undefined, [values.buffer]);
    } catch {
      lost();
    }
  }

  /** Cover the image once Python is gone: what is painted then would go nowhere. */
  function lost() {
    const row = niivue().canvas.parentNode.parentNode;
    if (row.querySelector(".lost")) return;
    const cover = document.createElement("div");
    cover.className = "lost";
    cover.textContent =
      "The kernel of this painter has ended, and nothing is painted any more. Run the cells again:" +
      " what was saved is there.";
    cover.style.cssText =
      "position: absolute; inset: 0; z-index: 1; display: flex; align-items: center;" +
      " justify-content: center; padding: 2em; font-size: 1.2em; text-align: center;" +
      " color: white; background: rgba(0, 0, 0, 0.75)";
    row.style.position = "relative";
    row.append(cover);
  }

  /** End a stroke: keep what it changed, and tell Python. */
  function commit(model) {
    if (!touched) return;
    const bitmap = niivue().drawBitmap;
    const allowed = free(model);
    each(touched, (voxel) => {
      // a filled pen has not asked
      if (bitmap[voxel] !== before[voxel] && !allowed(voxel)) bitmap[voxel] = before[voxel];
    });
    const stroke = {
      ...touched,
      at: place(),
      before: cut(before, touched),
      after: cut(bitmap, touched),
    };
    touched = null;
    upload(stroke);
    if (stroke.after.every((value, at) => value === stroke.before[at])) return;
    paste(before, stroke, stroke.after);
    done.push(stroke);
    if (done.length > MOST_STROKES) done.shift();
    undone = [];
    tell(model, stroke, stroke.after);
  }

  /** Undo the last stroke, or do the one again that was undone last, and go to its slice. */
  function step(model, from, to, which) {
    if (touched || !from.length) return;
    const stroke = from.pop();
    to.push(stroke);
    for (const volume of [before, niivue().drawBitmap]) paste(volume, stroke, stroke[which]);
    upload(stroke);
    go(stroke.at);
    tell(model, stroke, stroke[which]);
  }

  const undo = (model) => step(model, done, undone, "before");
  const redo = (model) => step(model, undone, done, "after");

  function go(voxel) {
    niivue().scene.crosshairPos = niivue().vox2frac(voxel);
    niivue().createOnLocationChange();
    niivue().drawScene();
  }

  /** Take pen, opacity and the like from the model. */
  function settle(model) {
    const nv = niivue();
    const pen = model.get("pen");
    const erase = model.get("names").length + 1;
    nv.opts.penValue = pen === erase ? 0 : pen;
    nv.opts.penSize = model.get("pen_size");
    nv.opts.isFilledPen = model.get("filled") === 1;
    nv.opts.drawingEnabled = pen !== LOOK;
    nv.canvas.style.cursor = pen === LOOK ? "default" : "crosshair";
    const large = model.get("large");
    nv.opts.heroImageFraction = large === ALL_PLANES ? 0 : 0.7;
    nv.opts.heroSliceType = 2 - large;
    nv.drawScene();
  }

  /** Darken and brighten; one redrawing a frame is enough. */
  let turning = 0;
  function brighten(model) {
    turning ||= requestAnimationFrame(() => {
      turning = 0;
      [niivue().volumes[0].cal_min, niivue().volumes[0].cal_max] = model.get("window");
      niivue().updateGLVolume();
    });
  }

  /** Draw the scene; without labels on the plain canvas first, if that is shown. */
  function frame(model, draw) {
    const nv = niivue();
    const opacity = hidden ? 0 : model.get("label_opacity");
    const outline = model.get("outline") === 1;
    const put = (fill, rim) => {
      [nv.drawOpacity, nv.drawRimOpacity] = [fill, rim];
      draw();
    };
    if (model.get("beside") && nv.canvas.width) {
      put(0, -1);
      [plain.width, plain.height] = [nv.canvas.width, nv.canvas.height];
      plain.getContext("2d").drawImage(nv.canvas, 0, 0);
    }
    put(outline ? Math.min(opacity, 0.01) : opacity, outline ? opacity : -1); // 0 would hide the rim, too
  }

  function slice(model, by) {
    const axis = Math.min(model.get("large"), 2);
    niivue().moveCrosshairInVox(...[0, 1, 2].map((side) => (side === axis ? by : 0)));
  }

  function change(model, values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  }

  /** Do what a key stands for, and return whether it stands for something. */
  function key(model, event) {
    const name = event.key.toLowerCase();
    const erase = model.get("names").length + 1;
    const pens = Object.fromEntries(model.get("names").map((_, at) => [`${at + 1}`, at + 1]));
    if (event.ctrlKey || event.metaKey) {
      if (name !== "z" && name !== "y") return false;
      (name === "y" || event.shiftKey ? redo : undo)(model);
    } else if (name in pens) change(model, { pen: pens[name] });
    else if (name === "0") change(model, { pen: erase });
    else if (name === "l" || name === "escape") change(model, { pen: LOOK });
    else if (name === "[") change(model, { pen_size: Math.max(1, model.get("pen_size") - 2) });
    else if (name === "]") change(model, { pen_size: Math.min(41, model.get("pen_size") + 2) });
    else if (name === "f") change(model, { filled: (model.get("filled") + 1) % 3 });
    else if (name === "o") change(model, { outline: 1 - model.get("outline") });
    else if (name === "r") niivue().setPan2Dxyzmm([0, 0, 0, 1]);
    else if (name === "h") hidden = true;
    else if (name === "arrowup" || name === "arrowright") slice(model, 1);
    else if (name === "arrowdown" || name === "arrowleft") slice(model, -1);
    else return false;
    niivue().drawScene();
    return true;
  }

  /** Listen to keys in the whole painter before JupyterLab and Notebook do, whose keys then rest. */
  function listen(model, root) {
    if (root.hasAttribute("data-lm-suppress-shortcuts")) return; // shown a second time
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    const typed = (event) => {
      const { target } = event;
      const slides = target.closest("input, .noUi-handle") && event.key.startsWith("Arrow");
      const types = target.isContentEditable || target.matches("input:not([type=checkbox])");
      if (slides || types) return;
      event.stopPropagation(); // NiiVue has keys of its own
      if (key(model, event)) event.preventDefault();
    };
    const released = (event) => {
      event.stopPropagation();
      if (event.key.toLowerCase() !== "h") return;
      hidden = false;
      niivue().drawScene();
    };
    for (const [name, act] of Object.entries({ keydown: typed, keyup: released }))
      window.addEventListener(
        name,
        function heard(event) {
          if (root.contains(event.target)) act(event);
          if (root.isConnected) return;
          window.removeEventListener(name, heard, true); // its cell is gone, or moves
          root.removeAttribute("data-lm-suppress-shortcuts");
        },
        true,
      );
  }

  /** Mouse: right drags, wheel changes the slice, with Ctrl it zooms. */
  function steer(model, canvas) {
    const mode = (number) => () => (niivue().opts.dragMode = number);
    const [none, pan] = [0, 3];
    canvas.addEventListener("mousedown", mode(pan), true);
    canvas.addEventListener("wheel", (event) => mode(event.ctrlKey ? pan : none)(), true);
    canvas.addEventListener("dblclick", (event) => event.stopImmediatePropagation(), true);
    canvas.addEventListener("mouseleave", () => commit(model));
  }

  /** Put our own way of drawing, remembering and telling in the place of NiiVue's. */
  function extend(model) {
    const nv = niivue();
    const [draw, refresh] = [nv.drawScene.bind(nv), nv.refreshDrawing.bind(nv)];
    const texture = nv.r8Tex.bind(nv);
    nv.r8Tex = (old, unit, dims) => texture(old, unit, dims); // a new one is 0 without an upload
    let asked = 0;
    nv.drawScene = () => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        frame(model, draw);
      });
    };
    nv.refreshDrawing = (shown = true) => {
      if (touched) upload(touched);
      else if (before) refresh(false);
      if (shown) nv.drawScene();
    };
    nv.drawPt = (x, y, z, value) => disc(model, x, y, z, value);
    nv.drawAddUndoBitmap = () => commit(model);
    let late = 0;
    nv.onLocationChange = () => {
      late ||= setTimeout(() => {
        late = 0;
        change(model, { place: place() });
      }, 50);
    };
    nv.onMouseUp = nv.onImageLoaded = () => {};
  }

  /** Show the image and the labels that Python sends. */
  async function begin(model, message, [image, labels]) {
    const nv = niivue();
    [before, touched, done, undone] = [null, null, [], []];
    nv.setDrawColormap(model.get("colours")); // before there is an image, which it would draw anew
    const url = URL.createObjectURL(new Blob([image]));
    await nv.loadVolumes([{ url, name: "image.nii.gz" }]);
    URL.revokeObjectURL(url);
    nv.setDrawingEnabled(true);
    paste(
      nv.drawBitmap,
      message,
      new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength),
    );
    before = nv.drawBitmap.slice();
    upload(message);
    settle(model);
    go(model.get("place"));
    model.send({ event: "shown" });
  }

  async function render({ model, el }) {
    if (!document.createElement("canvas").getContext("webgl2")) {
      el.textContent = `This browser has no WebGL2. ${model.get("otherwise")}`;
      return;
    }
    const known = niivue().canvas?.parentNode; // shown a second time, it moves
    const row = document.createElement("div"); // of el, ipywidgets keeps the style
    row.style.cssText = "display: flex; gap: 4px";
    el.append(row);
    const cleared = await widget.render({ model, el: row });
    niivue().canvas.parentNode.style.cssText += "; flex: 1 1 0; min-width: 0";
    if (!known) {
      plain = document.createElement("canvas");
      plain.className = "plain";
      extend(model);
      steer(model, niivue().canvas);
      for (const name of ["pen", "pen_size", "filled", "large"])
        model.on(`change:${name}`, () => settle(model));
      for (const name of ["label_opacity", "outline"])
        model.on(`change:${name}`, () => niivue().drawScene());
      model.on("change:window", () => brighten(model));
      model.on("change:beside", () => arrange(model));
      model.on("comm_live_update", lost); // of ipywidgets: the kernel was restarted
      model.on("msg:custom", (message, buffers) => {
        if (message.type === "begin") begin(model, message, buffers);
        if (message.type === "undo") undo(model);
        if (message.type === "redo") redo(model);
      });
      model.send({ event: "ready" });
    }
    row.prepend(plain);
    arrange(model);
    requestAnimationFrame(function wait() {
      const root = el.closest(".patchseg-painter");
      if (root) listen(model, root);
      else if (!el.isConnected) requestAnimationFrame(wait);
      else listen(model, el);
    });
    return cleared;
  }

  function arrange(model) {
    plain.style.cssText = model.get("beside")
      ? "flex: 1 1 0; min-width: 0; width: 0; height: auto"
      : "display: none";
    niivue().resizeListener();
    niivue().drawScene();
  }

  return { initialize: widget.initialize, render };
}
