"""`python -m experiments.resnet.train`: one training of the study at any width, on any device."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from classical.fit_images import Epoch
from experiments.images import split
from experiments.resnet.settings import ABLATIONS, FULL, IMAGES, MAIN
from experiments.resnet.training import train
from qhyper.data.images import load_images
from qhyper.errors import QhyperError, unknown
from qhyper.machine import torch_device
from qhyper.storage import write_whole

RECIPES = {**MAIN, **ABLATIONS}


def run(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint and the results.")],
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = "adam",
    width: Annotated[float, typer.Option(help="Of 64, 128, 256 and 512 channels.")] = 1.0,
    epochs: Annotated[int, typer.Option(min=1, help="The document has 254 and 600.")] = 254,
    images: Annotated[str, typer.Option(help="cifar-10 or cifar-100.")] = IMAGES,
    device: Annotated[str, typer.Option(help="As torch names it, such as cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Of torch on a CPU.")] = 1,
) -> None:
    """Train, choose the epoch on held-out images, and test; the same command goes on."""
    if recipe not in RECIPES:
        raise unknown("recipe", recipe, RECIPES)
    torch_device(device)
    name = f"{recipe}-{images}-width-{width:g}"  # other trainings may have the same folder
    whole, test = load_images(images)
    parts = (*split(whole, FULL.held_out, FULL.training), test)
    network, found = train(
        RECIPES[recipe], parts, classes=int(whole.labels.max()) + 1, width=width, epochs=epochs,
        cycles=FULL.cycles, checkpoint=out / f"{name}.pt", device=device, threads=threads,
        progress=_say,
    )  # fmt: skip
    write_whole(out / f"{name}.json", json.dumps(found, indent=2).encode())
    print(f"Test accuracy {100 * found['accuracy']:.2f} %, as in epoch {found['chosen']}.")
    if network.options.weights == "binary":
        from qhyper.targets.convolutional.network import ConvolutionalNetwork

        path = out / f"{name}.npz"
        packed = ConvolutionalNetwork.from_torch(network.evaluation_network(), image=network.image)
        path.unlink(missing_ok=True)
        packed.save(path)
        print(f"Packed network: {path}, {path.stat().st_size:,} bytes.")


def _say(epoch: Epoch) -> None:
    print(
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, held out {100 * epoch.accuracy:.2f} %, "
        f"{epoch.seconds:.0f} s",
        file=sys.stderr, flush=True,
    )  # fmt: skip


def main() -> None:
    """Entry point; errors on purpose become one line and an exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(run)
    try:
        app()
    except QhyperError as error:
        print(f"experiments.resnet.train: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
