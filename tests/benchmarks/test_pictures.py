import ablation
import adaptation_tables
import pandas as pd
import robustness


def test_curve_of_an_adaptation_has_a_panel_a_brain_and_a_line_a_way():
    rows = [
        (name, count, how, 0.5 + 0.1 * count, 0.4, 0.9)
        for name in ("chimp", "macaque")
        for how in ("suggested", "random")
        for count in (0, 1, 5)
    ]
    lines = pd.DataFrame(
        [("chimp", "HMRF", 0.8), ("macaque", "HMRF", 0.7), ("chimp", "Atropos", 0.82)],
        columns=["brain", "method", "dice"],
    )
    figure = adaptation_tables.picture(
        pd.DataFrame(rows, columns=["brain", "slices", "how", "dice", "low", "high"]), lines
    )
    assert [axes.get_title() for axes in figure.axes] == ["chimp", "macaque"] and [
        len(axes.lines) for axes in figure.axes
    ] == [4, 3]
    assert [label.get_text() for label in figure.legends[0].get_texts()] == [
        "suggested",
        "random",
        "HMRF",
        "Atropos",
    ]


def test_robustness_has_a_panel_a_disturbance():
    rows = [
        (kind, strength, "share", name, 0.9 - strength)
        for kind in ("noise", "bias", "blur")
        for name in ("a", "b")
        for strength in (0, 0.1)
    ]
    figure = robustness.picture(
        pd.DataFrame(rows, columns=["disturbance", "strength", "unit", "brain", "dice"])
    )
    assert [axes.get_title() for axes in figure.axes] == ["noise", "bias", "blur", ""] and all(
        len(axes.lines) == 2 for axes in figure.axes[:3]
    )


def test_ablation_has_a_panel_a_measure_and_a_dot_a_seed():
    rows = [
        (variant, measure, 0.8 + 0.01 * seed)
        for variant in ("as it is", "without")
        for measure in ("T1w", "T2w")
        for seed in range(3)
    ]
    figure = ablation.picture(pd.DataFrame(rows, columns=["variant", "measure", "dice"]))
    assert [axes.get_title() for axes in figure.axes] == ["T1w", "T2w"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "as it is",
        "without",
    ]
    assert [len(line.get_xdata()) for line in figure.axes[1].lines[1:]] == [3, 1, 3, 1]
