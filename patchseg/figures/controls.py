"""The controls around the painter's canvas; most are linked in the browser, without Python."""

from html import escape

from ipywidgets import (
    HTML,
    Button,
    Checkbox,
    FloatRangeSlider,
    FloatSlider,
    HBox,
    IntSlider,
    Label,
    Layout,
    ToggleButton,
    ToggleButtons,
    VBox,
    jslink,
)

from patchseg.images.grid import AXES

KEYS = (
    "<b>{}</b> {} · <b>0</b> erase · <b>L</b> look · <b>[ ]</b> pen size · <b>F</b> brush,"
    " fill, flood · <b>arrows</b>, <b>wheel</b> next slice · <b>Ctrl-Z</b> undo · <b>Ctrl-Y</b>"
    " redo · <b>O</b> outlines · <b>H</b> hold to hide labels · <b>Ctrl-wheel</b> zoom ·"
    " <b>right button</b> move · <b>R</b> whole slice"
)
KEEP = 25.0
"""How much darker or brighter than the first voxel a stroke may go; the image has 0 to 255."""


class Box(VBox):
    """The painter; where no widget can run, a cell shows the sentence `otherwise`."""

    def __init__(self, children, said, otherwise):
        super().__init__(children)
        self.add_class("patchseg-painter")
        self.said, self.otherwise = said, otherwise

    def _repr_mimebundle_(self, **given):
        shown = super()._repr_mimebundle_(**given)
        data = shown[0] if isinstance(shown, tuple) else shown
        data["text/plain"], data["text/html"] = self.otherwise, f"<p>{escape(self.otherwise)}</p>"
        return shown


def around(canvas, save, otherwise):
    """Put the controls around a canvas.

    Parameters
    ----------
    canvas : ipyniivue.NiiVue
        Of `canvas`.
    save : function
        Of the button.
    otherwise : str
        To show where no widget can run.

    Returns
    -------
    box : Box
        With `said`, the line below the image.
    """
    said = HTML()
    chosen = _choice(canvas, "pen", ["look", *canvas.names, "erase"], "pen")
    brush = _choice(canvas, "filled", ["brush", "fill", "flood"], "stroke")
    labels = _choice(canvas, "outline", ["filled", "outline"], "labels")
    planes = _choice(canvas, "large", [*AXES, "all"], "large")
    size = _slider(canvas, "pen_size", IntSlider(min=1, max=41, step=2, description="pen size"))
    opacity = FloatSlider(min=0, max=1, step=0.05, description="opacity")
    window = FloatRangeSlider(min=0, max=255, description="brightness", readout_format=".0f")
    keep, *locks = _limits(canvas)
    rows = [
        [chosen, *_buttons(canvas, save)],
        [brush, size, keep],
        [labels, _slider(canvas, "label_opacity", opacity), _slider(canvas, "window", window)],
        [planes, _beside(canvas), *locks],
    ]
    wrap = Layout(flex_flow="row wrap", align_items="center")
    controls = [HBox(row, layout=wrap) for row in rows]
    pens = " ".join(str(number) for number, _ in enumerate(canvas.names, 1))
    keys = HTML(KEYS.format(pens, escape(", ".join(canvas.names))))
    return Box([*controls, canvas, said, keys], said, otherwise)


def _choice(canvas, trait, options, name):
    """Return a row of buttons with its name before them; its options keep one line."""
    chooser = ToggleButtons(options=options, index=getattr(canvas, trait))
    chooser.style.button_width = "76px"
    jslink((canvas, trait), (chooser, "index"))
    return HBox([Label(name, layout=Layout(width="48px")), chooser])


def _slider(canvas, trait, slider):
    slider.value = getattr(canvas, trait)
    slider.layout.width = "240px"
    jslink((canvas, trait), (slider, "value"))
    return slider


def _buttons(canvas, save):
    """Return undo, redo and save."""
    actions = {
        "undo": lambda _: canvas.send({"type": "undo"}),
        "redo": lambda _: canvas.send({"type": "redo"}),
        "save": lambda _: save(),
    }
    made = [Button(description=name, layout=Layout(width="70px")) for name in actions]
    for button, action in zip(made, actions.values(), strict=True):
        button.on_click(action)
    made[-1].button_style = "primary"
    return made


def _limits(canvas):
    """Return what strokes leave as it is: voxels of other brightness, locked labels."""
    keep = Checkbox(description="keep to the brightness", indent=False)
    keep.layout.width = "170px"
    locks = [
        ToggleButton(
            description=name,
            icon="lock",
            tooltip=f"strokes leave {name} as it is",
            layout=Layout(width="76px"),
        )
        for name in canvas.names
    ]

    def settle(_):
        canvas.keep = KEEP if keep.value else 0.0
        canvas.locked = [number for number, lock in enumerate(locks, 1) if lock.value]

    for one in (keep, *locks):
        one.observe(settle, "value")
    return [keep, *locks]


def _beside(canvas):
    box = Checkbox(value=canvas.beside, description="image without labels beside it", indent=False)
    box.layout.width = "240px"
    jslink((canvas, "beside"), (box, "value"))
    return box
