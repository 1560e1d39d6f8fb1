import marimo

app = marimo.App(app_title="Alike and unlike")


@app.cell
def _():
    import marimo as mo
    import numpy as np
    from sklearn.datasets import load_digits

    import selftaught

    return load_digits, mo, np, selftaught


@app.cell
def _(mo):
    mo.md("""
    # Alike and unlike

    The second family asks which samples belong together. Two views of one picture do; views of two pictures do not.
    SimCLR pulls the first together and pushes the others apart, by a softmax over how alike they are, divided by a
    temperature: the lower it is, the more only the most alike of the others count.
    """)
    return


@app.cell
def _():
    epochs, encoder = 20, "resnet10t"
    return encoder, epochs


@app.cell
def _(mo):
    temperature = mo.ui.slider(steps=[0.05, 0.1, 0.2, 0.5, 1.0], value=0.2, label="temperature", show_value=True)
    shares = [0.1, 0.3, 0.5, 0.8, 1.0]
    smallest = mo.ui.slider(steps=shares, value=0.5, label="smallest share of a picture in a view", show_value=True)
    mo.vstack([temperature, smallest, mo.md("Whoever moves one teaches a network anew: a quarter of a minute or so.")])
    return smallest, temperature


@app.cell
def _(load_digits):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    pictures, labels, unseen, truth = images[:1400], digits.target[:1400], images[1400:], digits.target[1400:]
    return labels, pictures, truth, unseen


@app.cell
def _(encoder, mo, pictures, selftaught, smallest):
    views = {"strong": {"crop": [smallest.value, 1.0], "flip": 0.0}}
    shown = selftaught.preview(
        pictures,
        method="simclr",
        encoder=encoder,
        views=views,
        out="runs/alike_and_unlike/views.png",
    )
    mo.image(shown, width=700)
    return (views,)


@app.cell
def _(encoder, epochs, pictures, selftaught, temperature, views):
    run = selftaught.pretrain(
        pictures,
        method={"name": "simclr", "options": {"temperature": temperature.value}},
        encoder=encoder,
        views=views,
        epochs=epochs,
        batch_size=128,
        out="runs/alike_and_unlike/run",
        overwrite=True,
    )
    return (run,)


@app.cell
def _(mo):
    mo.md("""
    ## What came of it, without any label

    *Alignment* is how far apart two views of a picture lie on average, *uniformity* how evenly pictures are spread
    over all directions (the lower the better, both). Everything in one place has perfect alignment and knows
    nothing, so neither is good alone.
    """)
    return


@app.cell
def _(mo, run):
    before, after = run.status["health_at_start"], run.status["health"]
    names = ("alignment", "uniformity", "rankme")
    scores = [{"": name, "before": before.get(name), "after": after.get(name)} for name in names]
    mo.ui.table(scores, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    ## And with labels

    How alike pictures of one digit are to each other, and to other digits; labels are met here for the first time.
    """)
    return


@app.cell
def _(mo, np, run, truth, unseen):
    features = np.load(run.embed(unseen, out="runs/alike_and_unlike/features.npz"))["features"]
    z = features - features.mean(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    alike, same = z @ z.T, truth[:, None] == truth[None]
    others = ~np.eye(len(z), dtype=bool)
    mo.md(
        f"Mean cosine of two pictures of one digit: **{alike[same & others].mean():.2f}**; of two digits: "
        f"**{alike[~same].mean():.2f}**."
    )
    return


@app.cell
def _(labels, pictures, run, selftaught, truth, unseen):
    judged = selftaught.evaluate(run, (pictures, labels), (unseen, truth), labels="2", repeats=5, probe="linear")
    judged
    return


@app.cell
def _(mo):
    mo.md("""
    Try a share of 0.1: what is seen of a digit may belong to any other, so that views are pulled together that
    should not be. And 1.0, where two views are nearly the same picture, and to tell them from others takes no
    knowledge of digits.
    """)
    return


if __name__ == "__main__":
    app.run()
