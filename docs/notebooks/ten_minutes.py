import marimo

app = marimo.App(app_title="Ten minutes")


@app.cell
def _():
    import marimo as mo
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import selftaught

    return load_digits, mo, selftaught, train_test_split


@app.cell
def _(mo):
    mo.md("""
    # Ten minutes

    1,797 handwritten digits of 8 x 8 pixels, of which nobody has labelled any. A network is taught by the pictures
    alone; then it is handed a label or two of each digit, and asked about digits it has never seen.
    """)
    return


@app.cell
def _():
    epochs, encoder = 25, "resnet10t"  # how often it goes through the pictures; about half a minute on two cores
    return encoder, epochs


@app.cell
def _(load_digits, train_test_split):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    pictures, unseen, labels, truth = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return labels, pictures, truth, unseen


@app.cell
def _(mo):
    mo.md("""
    ## What is it shown?

    SimCLR shows the network two views of each picture, cut and distorted by chance, and asks which two belong together.
    Digits are not mirrored, and a crop that loses most of a digit says nothing of it: both are said here.
    """)
    return


@app.cell
def _():
    views = {"strong": {"crop": [0.5, 1.0], "flip": 0.0}}
    return (views,)


@app.cell
def _(encoder, mo, pictures, selftaught, views):
    shown = selftaught.preview(
        pictures, method="simclr", encoder=encoder, views=views, out="runs/ten_minutes/views.png"
    )
    mo.image(shown, width=700)
    return


@app.cell
def _(encoder, epochs, pictures, selftaught, views):
    run = selftaught.pretrain(
        pictures,
        method="simclr",
        encoder=encoder,
        views=views,
        epochs=epochs,
        batch_size=128,
        out="runs/ten_minutes/run",
        overwrite=True,
    )
    run
    return (run,)


@app.cell
def _(mo):
    mo.md("""
    ## Did it help?

    With 1, 5 and 20 labels of each digit a linear probe learns from the network's features. Beside it stand what the
    same probe makes of raw pixels, and of the same network before it was taught. The last line is the verdict; it
    says "too close to call" where luck could have made the difference.
    """)
    return


@app.cell
def _(labels, pictures, run, selftaught, truth, unseen):
    verdict = selftaught.evaluate(run, (pictures, labels), (unseen, truth), labels="1,5,20", repeats=5, probe="linear")
    verdict
    return (verdict,)


@app.cell
def _(mo):
    mo.md("""
    Where next: your own photos (`selftaught pretrain photos/`); `which_to_label.py`, what to label first; or
    `alike_and_unlike.py`, why telling what belongs together teaches anything at all.
    """)
    return


if __name__ == "__main__":
    app.run()
