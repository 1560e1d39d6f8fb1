import marimo

app = marimo.App(app_title="Can a verdict be believed?")


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
    # Can a verdict be believed?

    "It helped" is what people come for, so a tool that says it too easily is worth nothing. Here are three ways to
    fool one, and what this one says.
    """)
    return


@app.cell
def _():
    epochs, encoder = 25, "resnet10t"
    return encoder, epochs


@app.cell
def _(load_digits):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    pictures, labels, unseen, truth = images[:1400], digits.target[:1400], images[1400:], digits.target[1400:]
    return labels, pictures, truth, unseen


@app.cell
def _(encoder, epochs, pictures, selftaught):
    run = selftaught.pretrain(
        pictures,
        method="simclr",
        encoder=encoder,
        views={"strong": {"crop": [0.5, 1.0], "flip": 0.0}},
        epochs=epochs,
        batch_size=128,
        out="runs/verdicts/run",
        overwrite=True,
    )

    def judge(train, test):
        return selftaught.evaluate(run, train, test, probe="linear", labels="5", repeats=3)

    return (judge,)


@app.cell
def _(judge, labels, pictures, truth, unseen):
    honest = judge((pictures, labels), (unseen, truth)).verdict
    return (honest,)


@app.cell
def _(mo):
    mo.md("""
    ## 1. Few test pictures

    Of five pictures one right more or less is luck. How many there have to be is part of the verdict.
    """)
    return


@app.cell
def _(judge, labels, pictures, truth, unseen):
    five = judge((pictures, labels), (unseen[:5], truth[:5])).verdict
    thirty = judge((pictures, labels), (unseen[:30], truth[:30])).verdict
    return five, thirty


@app.cell
def _(mo):
    mo.md("""
    ## 2. Labels that mean nothing

    Labels from a hat: nothing can be learnt, whatever features say. What is right by chance is to be told as
    chance.
    """)
    return


@app.cell
def _(judge, labels, np, pictures, truth, unseen):
    rng = np.random.default_rng(0)
    hat = judge((pictures, rng.permutation(labels)), (unseen, rng.permutation(truth))).verdict
    return (hat,)


@app.cell
def _(mo):
    mo.md("""
    ## 3. The same pictures on both sides

    Copies of training pictures among the test ones make any features look good that can remember. They are found by
    what they look like, not by their name, and are not learnt from.
    """)
    return


@app.cell
def _(judge, labels, np, pictures, truth, unseen):
    both = judge((pictures, labels), (np.concatenate([unseen, pictures[:200]]), np.concatenate([truth, labels[:200]])))
    copied = f"{both.verdict} ({both.copies} copies were not learnt from)"
    return (copied,)


@app.cell
def _(copied, five, hat, honest, mo, thirty):
    verdicts = {
        "as it should be": honest,
        "five test pictures": five,
        "thirty test pictures": thirty,
        "labels from a hat": hat,
        "200 pictures on both sides": copied,
    }
    lines = [f"| {name} | {verdict} |" for name, verdict in verdicts.items()]
    mo.md("\n".join(["| test pictures | what is said |", "|---|---|", *lines]))
    return


@app.cell
def _(mo):
    mo.md("""
    How intervals and tests are reckoned, and how often they are wrong where there is nothing to find, stands in
    "How it is judged".
    """)
    return


if __name__ == "__main__":
    app.run()
