import marimo

app = marimo.App(app_title="A method of your own")


@app.cell
def _():
    import marimo as mo
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    import selftaught

    return load_digits, mo, nn, selftaught, torch


@app.cell
def _(mo):
    mo.md("""
    # A method of your own

    A method asks an unlabelled sample a question that the sample answers itself. Here is a new one: of two views of
    a picture one was made darker; which is it? Whoever has a better idea changes the cell, and all below is made
    anew.
    """)
    return


@app.cell
def _():
    epochs, encoder = 20, "resnet10t"
    return encoder, epochs


@app.cell
def _(nn, selftaught, torch):
    class Brighter(selftaught.Method):
        """Two views of each picture, one of them made darker: which is it?"""

        views = ("light", "light")

        def __init__(self, encoder, data, /, *, width: int = 64):
            super().__init__(encoder, data)
            self.head = nn.Sequential(nn.Linear(2 * encoder.dim, width), nn.ReLU(), nn.Linear(width, 1))

        def forward(self, first, second):  # normalised images (B, C, H, W)
            size = (len(first), 1, 1, 1)
            darker = (selftaught.randomness.uniform(size, "darker", first.device) < 0.5).to(first)
            first, second = first - 0.5 * darker, second - 0.5 * (1 - darker)
            answer = self.head(torch.cat([self.encoder(first), self.encoder(second)], dim=1))
            return {"loss": nn.functional.binary_cross_entropy_with_logits(answer, darker[:, 0, 0])}

    return (Brighter,)


@app.cell
def _(load_digits):
    digits = load_digits()
    images = (digits.images * 15).astype("uint8")
    pictures, labels, unseen, truth = images[:1400], digits.target[:1400], images[1400:], digits.target[1400:]
    return labels, pictures, truth, unseen


@app.cell
def _(Brighter, encoder, epochs, pictures, selftaught):
    light, strong = {"crop": [0.6, 1.0], "flip": 0.0}, {"crop": [0.5, 1.0], "flip": 0.0}
    rivals = {
        "brighter": (Brighter, {"light": light}),
        "rotation": ("rotation", {"light": light}),
        "simclr": ("simclr", {"strong": strong}),
    }
    runs = {
        name: selftaught.pretrain(
            pictures,
            method=method,
            encoder=encoder,
            views=views,
            epochs=epochs,
            batch_size=128,
            out=f"runs/own_method/{name}",
            overwrite=True,
        )
        for name, (method, views) in rivals.items()
    }
    return (runs,)


@app.cell
def _(mo):
    mo.md("""
    ## Was it a good question?

    To be answered is not enough: that one view is darker can be told without knowing anything of digits. Judged by
    what a linear probe makes of five labels of each digit, beside two questions that people have published.
    """)
    return


@app.cell
def _(labels, mo, pictures, runs, selftaught, truth, unseen):
    table = []
    for called, run in runs.items():
        judged = selftaught.evaluate(run, (pictures, labels), (unseen, truth), labels="5", repeats=5, probe="linear")
        table.append({"method": called, **{row.features: f"{100 * row.accuracy:.1f} %" for row in judged.rows}})
    mo.ui.table(table, selection=None)
    return


@app.cell
def _(mo):
    mo.md("""
    A run's recipe keeps the method's name and a digest of what the class says; its encoder is whole without the
    class.
    """)
    return


if __name__ == "__main__":
    app.run()
