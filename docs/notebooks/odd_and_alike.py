import marimo

app = marimo.App(app_title="What is odd, what is alike?")


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
    # What is odd, what is alike?

    Labels are wrong more often than people think. A network that was taught without them cannot have learnt their
    mistakes, so it is a good witness: where a picture lies among others, and its label says something else,
    somebody should look.
    """)
    return


@app.cell
def _():
    epochs, encoder = 40, "resnet10t"
    return encoder, epochs


@app.cell
def _(load_digits, np):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    rng = np.random.default_rng(0)
    planted = rng.choice(len(images), len(images) // 20, replace=False)  # one in twenty is made wrong
    labels = digits.target.copy()
    labels[planted] = (labels[planted] + rng.integers(1, 10, len(planted))) % 10
    return images, labels, planted


@app.cell
def _(encoder, epochs, images, selftaught):
    run = selftaught.pretrain(
        images,
        method="simclr",
        encoder=encoder,
        views={"strong": {"crop": [0.5, 1.0], "flip": 0.0}},
        epochs=epochs,
        batch_size=128,
        out="runs/odd_and_alike/run",
        overwrite=True,
    )
    return (run,)


@app.cell
def _(images, labels, run):
    odd = run.odd((images, labels))
    odd
    return (odd,)


@app.cell
def _(mo, odd, planted):
    suspects = [fact for fact in odd.facts if fact["odd"] == "label"]
    hits = len({int(fact["path"]) for fact in suspects} & set(planted.tolist()))
    mo.md(
        f"{len(planted)} labels were made wrong. {len(suspects)} are called likely wrong, and {hits} of those are: "
        f"precision {hits / max(1, len(suspects)):.0%}, recall {hits / len(planted):.0%}."
    )
    return (suspects,)


@app.cell
def _(mo):
    mo.md("""
    ## The first that it would have you look at
    """)
    return


@app.cell
def _(images, mo, np, suspects):
    def drawn(row):
        return mo.image(np.kron(images[row], np.ones((6, 6), "uint8")), width=48)

    mo.hstack(
        [
            mo.vstack([drawn(int(fact["path"])), mo.md(f"said {fact['label']}, likely {fact['likely']}")])
            for fact in suspects[:8]
        ],
        justify="start",
        wrap=True,
    )
    return (drawn,)


@app.cell
def _(mo):
    mo.md("""
    ## More like this

    `find` goes the other way: a picture is named, and those are wanted that are most like it.
    """)
    return


@app.cell
def _(images, mo):
    number = mo.ui.number(0, len(images) - 1, value=7, label="more like picture number")
    number
    return (number,)


@app.cell
def _(drawn, images, mo, number, run):
    near = run.find(images, str(number.value), count=10)
    mo.hstack(
        [drawn(number.value), mo.md("is most like"), *(drawn(int(key)) for key in near.keys)],
        justify="start",
        wrap=True,
    )
    return


if __name__ == "__main__":
    app.run()
