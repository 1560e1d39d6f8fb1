import marimo

app = marimo.App(app_title="Hidden features")


@app.cell
def _():
    import marimo as mo
    from sklearn.datasets import load_digits

    import selftaught

    return load_digits, mo, selftaught


@app.cell
def _(mo):
    mo.md("""
    # Hidden features

    The first family of self-supervised learning hides, changes or spoils something of a sample, and asks for what
    it was. The sample itself knows the answer, so nobody has to label anything. There are four ways:

    | | what is done | what is asked | here by |
    |---|---|---|---|
    | masked | parts are left out | what was there? | `simmim` |
    | augmented | all of it is turned, cut, shuffled | what was done? | `rotation` |
    | obscured | a blot lies on it, colour or detail is gone | what is under it? | `inpainting` |
    | perturbed | noise lies over all of it | what was it before? | `denoising` |
    """)
    return


@app.cell
def _():
    epochs, encoder = 20, "resnet10t"  # how often, and what network; a quarter of a minute each on two cores
    return encoder, epochs


@app.cell
def _(load_digits):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    pictures, labels, unseen, truth = images[:1400], digits.target[:1400], images[1400:], digits.target[1400:]
    return labels, pictures, truth, unseen


@app.cell
def _():
    ways = {"masked": "simmim", "augmented": "rotation", "obscured": "inpainting", "perturbed": "denoising"}
    views = {"light": {"crop": [0.6, 1.0], "flip": 0.0}}  # digits are not mirrored
    return views, ways


@app.cell
def _(encoder, epochs, pictures, selftaught, views, ways):
    runs = {
        way: selftaught.pretrain(
            pictures,
            method=method,
            encoder=encoder,
            views=views,
            epochs=epochs,
            batch_size=128,
            out=f"runs/hidden_features/{way}",
            overwrite=True,
        )
        for way, method in ways.items()
    }
    return (runs,)


@app.cell
def _(mo):
    mo.md("""
    ## What each is shown, and what it answers

    Of each way: pictures as they are, as the method shows them to the network, and what the network, once taught,
    says.
    """)
    return


@app.cell
def _(mo, runs, selftaught, unseen, views, ways):
    drawn = {
        way: selftaught.preview(
            unseen,
            method=ways[way],
            views=views,
            run=str(run.folder),
            out=f"runs/hidden_features/{way}.png",
        )
        for way, run in runs.items()
    }
    mo.vstack(
        [mo.vstack([mo.md(f"**{way}**, `{ways[way]}`"), mo.image(file, width=700)]) for way, file in drawn.items()]
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## Is it worth anything?

    A question is only worth its answers if a network that can answer it knows more of other things, too. Two labels
    of each digit, and a linear probe on features; beside it the same network before it was taught, and raw pixels.
    """)
    return


@app.cell
def _(labels, mo, pictures, runs, selftaught, truth, unseen):
    table = []
    for name, taught in runs.items():
        judged = selftaught.evaluate(taught, (pictures, labels), (unseen, truth), labels="2", repeats=5, probe="linear")
        table.append({"way": name, **{row.features: f"{100 * row.accuracy:.1f} %" for row in judged.rows}})
    mo.ui.table(table, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    Whether a question suits depends on the data. Where nothing tells which way is up, `rotation` learns nothing; of
    8 x 8 pixels most detail is gone before a blot lies on it. `selftaught compare` asks several questions of your
    own data.
    """)
    return


if __name__ == "__main__":
    app.run()
