"""overfit.md: what the package codes, a decoder written from the text alone reads; its tables are those of the code."""

from pathlib import Path

import numpy as np
import pytest
import second_decoder as second
import second_overfit
from documents import table_after

from latentcodec.coding import tables
from latentcodec.container import file as container
from latentcodec.models.overfit.parameters import DECLARATIONS, shapes
from latentcodec.models.overfit.presets import PRESETS, Layout, Preset
from latentcodec.pipelines import overfit_encoding, overfit_prefix, registry
from latentcodec.pipelines.base import Encoded
from tests.golden.overfit.create import CASES, FOLDER, load


@pytest.mark.parametrize("name", CASES)
def test_second_decoder(name):
    file = container.read((FOLDER / f"{name}.lcx").read_bytes())
    pipeline = load(name)
    folder = Path(tables.__file__).parent
    frequencies = [
        row for shape in ("gaussian", "logistic") for row in second.tables((folder / f"{shape}.bin").read_bytes())
    ]
    arrays = {key: value.tolist() for key, value in pipeline.reference.items()}
    parameters, found, noisy = second_overfit.decode(
        file.payload, frequencies, arrays, file.rate, file.height, file.width, 4, 8
    )
    encoded = Encoded(file.rate, file.symbols, file.payload, 0.0)
    size = file.height, file.width
    exact = pipeline.decode_exactly(encoded, size)
    for ours, theirs in zip(exact.grids, found, strict=True):
        assert np.array_equal(ours.reshape(-1, *ours.shape[2:]), np.array(theirs))
    assert second.digest(*found) == file.symbols
    ours = pipeline.synthesise(exact, file.rate, size)[0].numpy()
    theirs = second_overfit.latents(parameters, noisy, 4, file.rate, *ours.shape[1:])
    assert np.allclose(ours, second_overfit.affine(file.payload, theirs), atol=1e-3)


def test_presets_are_those_of_the_document():
    rows = table_after("overfit.md", "number | preset | H | S | MAC/pixel | C = 32")
    measured = [
        [
            str(n),
            p.name,
            str(p.context_width),
            str(p.refinement_width),
            f"{Layout(p, 4).macs(171, 256) / 1363 / 2048:.2f}",
            f"{Layout(p, 32, predicts=True).macs(171, 256) / 1363 / 2048:.1f}",
        ]
        for n, p in enumerate(PRESETS)
    ]
    assert rows == measured


def test_parameters_are_those_of_the_document():
    rows = table_after("overfit.md", "group | parameter | shape | bits")
    layout = Layout(Preset("any", 13, 11), 64, predicts=True)
    letters = {13: "H", 11: "S", 64: "C"}
    expected = [
        [
            "-" if d.group is None else str(d.group),
            d.name,
            ", ".join(letters.get(n, str(n)) for n in shapes(layout)[d.name]),
            str(d.bits),
        ]
        for d in DECLARATIONS
    ]
    assert rows == expected


def test_prefix_is_that_of_the_document():
    rows = table_after("overfit.md", "field | bits | meaning")
    assert rows == [[f.name, str(f.bits), f.meaning] for f in overfit_prefix.PREFIX]


def test_models_are_those_of_the_document():
    rows = table_after("overfit.md", "autoencoder | C | stride | files")
    named = {row[0].split(":")[0]: [part.split(" (")[0] for part in row[3].split(", ")] for row in rows[:-1]}
    method = registry.method_named("overfit")
    assert {model.name for model in method.models} == set(named)
    assert named["taef2"] == list(method.models[1].weights)
    assert named["sd-turbo"] == list(method.models[2].weights)
    assert named["mini"][0] == method.models[0].weights[0]
    assert rows[0][3].endswith(method.models[0].weights[1])
    assert (overfit_encoding.PACKING.tables, overfit_encoding.PACKING.reach) == (19, 2)
