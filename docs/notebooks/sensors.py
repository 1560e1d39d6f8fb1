import marimo

app = marimo.App(app_title="Sensors")


@app.cell
def _():
    from pathlib import Path

    import marimo as mo
    import numpy as np

    import selftaught

    return Path, mo, np, selftaught


@app.cell
def _(mo):
    mo.md("""
    # Sensors

    A machine with three sensors, two of which follow its shaft and one the room. Nobody has written down when it
    was worn; for thirty spells somebody remembers. The methods that learn from pictures learn from such series,
    too.
    """)
    return


@app.cell
def _():
    epochs, spells, encoder = 30, 600, {"name": "dilated_conv", "options": {"width": 32, "depth": 4}}
    return encoder, epochs, spells


@app.cell
def _(Path, np, spells):
    rng = np.random.default_rng(0)
    worn = np.arange(spells) % 3  # as new, worn, about to break
    time = np.arange(128) / 128
    pace, phase = rng.uniform(6, 12, (spells, 1)), rng.uniform(0, 2 * np.pi, (spells, 1))
    angle = 2 * np.pi * pace * time + phase
    # Wear adds a little of the third harmonic, and near the end there is a knock once a turn.
    turning = np.sin(angle) + 0.35 * (worn > 0)[:, None] * np.sin(3 * angle)
    turning += 0.8 * (worn > 1)[:, None] * (np.cos(angle) > 0.97)
    turning *= rng.uniform(0.5, 2, (spells, 1))
    room = np.cumsum(rng.normal(0, 0.1, (spells, 128)), axis=1)
    x = np.stack([turning, 0.7 * np.roll(turning, 5, axis=1), room], axis=1) + rng.normal(0, 0.25, (spells, 3, 128))
    x[rng.random(spells) < 0.1, 1, 40:60] = np.nan  # a sensor that now and then says nothing
    folder, half = Path("runs/sensors"), spells // 2
    folder.mkdir(parents=True, exist_ok=True)
    log, later = f"series:{folder}/log.npz", f"series:{folder}/later.npz"
    np.savez(folder / "log.npz", x=x[:half].astype("float32"), y=worn[:half])
    np.savez(folder / "later.npz", x=x[half:].astype("float32"), y=worn[half:])
    return folder, later, log


@app.cell
def _(mo):
    mo.md("""
    ## What is it shown?

    Values are scaled, cut, warped in time. Where a sensor says nothing that is masked, and never filled in in
    silence.
    """)
    return


@app.cell
def _(folder, log, mo, selftaught):
    shown = selftaught.preview(
        log,
        method="simclr",
        out=folder / "views.png",
    )
    mo.image(shown, width=700)
    return


@app.cell
def _(encoder, epochs, folder, log, selftaught):
    runs = {
        method: selftaught.pretrain(
            log,
            method=method,
            encoder=encoder,
            epochs=epochs,
            batch_size=32,
            out=f"{folder}/{method}",
            overwrite=True,
        )
        for method in ("simclr", "vicreg", "denoising")
    }
    return (runs,)


@app.cell
def _(mo):
    mo.md("""
    ## Thirty labels

    Ten of each kind, and 300 later spells to be judged on; beside each network what it was before it was taught,
    and raw values.
    """)
    return


@app.cell
def _(later, log, mo, runs, selftaught):
    table, called = [], {"pixels": "raw values", "usual": "MiniRocket"}
    for name, run in runs.items():
        judged = selftaught.evaluate(run, log, later, labels="10", repeats=5, probe="linear")
        said = {row.features: f"{100 * row.accuracy:.1f} %" for row in judged.rows}
        table.append({"method": name, **{called.get(kind, kind): share for kind, share in said.items()}})
    mo.ui.table(table, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    For a log of your own: `selftaught pretrain series:log.csv --window 256 --stride 128`. Windows of one recording
    are never on both sides of a split.
    """)
    return


if __name__ == "__main__":
    app.run()
