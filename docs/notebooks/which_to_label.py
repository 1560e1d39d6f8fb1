import marimo

app = marimo.App(app_title="Which to label first?")


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
    # Which to label first?

    Of ten pictures that chance picks, three may show one digit and none another. A network that nobody has given a
    label yet already knows which pictures are alike; `select` takes the most typical picture of each group
    (TypiClust).
    """)
    return


@app.cell
def _():
    epochs, encoder, draws = 40, "resnet10t", 5
    return draws, encoder, epochs


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
        out="runs/which_to_label/run",
        overwrite=True,
    )
    return (run,)


@app.cell
def _(mo):
    many = mo.ui.slider(steps=[10, 20, 50, 100], value=20, label="labels", show_value=True)
    many
    return (many,)


@app.cell
def _(many, mo, np, pictures, run):
    def chosen(by, seed):
        found = run.select(
            pictures, f"runs/which_to_label/{by}.csv", count=many.value, by=by, seed=seed, overwrite=True
        )
        return [int(key) for key in found.keys]

    mo.hstack(
        [mo.image(np.kron(pictures[row], np.ones((5, 5), "uint8")), width=40) for row in chosen("typiclust", 0)],
        justify="start",
        wrap=True,
    )
    return (chosen,)


@app.cell
def _(mo):
    mo.md("""
    Those are what it would have you label. Does it pay? A nearest neighbour learns from the chosen labels alone,
    and is asked about 397 digits that nobody chose from; a row for each draw.
    """)
    return


@app.cell
def _(chosen, draws, labels, mo, np, pictures, run, selftaught, truth, unseen):
    def directions(data, name):
        features = np.load(run.embed(data, out=f"runs/which_to_label/{name}.npz"))["features"]
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    known, asked = directions(pictures, "known"), directions(unseen, "asked")

    def right(rows):
        nearest = (asked @ known[rows].T).argmax(axis=1)
        return float((labels[rows][nearest] == truth).mean())

    rounds = []
    with selftaught.quiet():
        for seed in range(draws):
            typical, lucky = chosen("typiclust", seed), chosen("random", seed)
            rounds.append(
                {
                    "draw": seed,
                    "typical: digits met": len(set(labels[typical].tolist())),
                    "typical: right": f"{100 * right(typical):.1f} %",
                    "random: digits met": len(set(labels[lucky].tolist())),
                    "random: right": f"{100 * right(lucky):.1f} %",
                }
            )
    mo.ui.table(rounds, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    The gain is largest where labels are fewest. With a hundred chance has met every digit, too; then it pays to ask
    about what a classifier is least sure of: `selftaught select --by margin --classifier ...`.
    """)
    return


if __name__ == "__main__":
    app.run()
