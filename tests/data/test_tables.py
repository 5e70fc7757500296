"""Tables as people have them: each is read as its author means it, or refused in words."""

import gzip

import numpy as np
import pytest

from qhyper.data.samples import Targets
from qhyper.data.sets import load
from qhyper.errors import ConfigurationError, StorageError

X = [[0.5, 1.0], [2.0, -3.0], [4.0, 5.0], [6.0, 7.0]]
NAMES = ("cat", "dog", "cat", "dog")


@pytest.fixture
def read(tmp_path):
    """Read texts as the training file, and as the test file if there are two."""

    def read_texts(text, test=None, *, end="csv", **options):
        path = tmp_path / f"mine.{end}"
        path.write_text(text, encoding="utf-8", newline="")
        other = tmp_path / f"other.{end}"
        if test is not None:
            other.write_text(test, encoding="utf-8", newline="")
        return load(path, test=None if test is None else other, options=options)

    return read_texts


def everything(data):
    """All rows with their labels as the file had them, whatever the split; sorted."""
    rows = np.concatenate([data.train.x, data.test.x]).tolist()
    labels = [data.classes[i] for part in (data.train, data.test) for i in part.y]
    return sorted(zip(map(tuple, rows), labels, strict=True))


def table(rows=X, labels=NAMES, header="a,b,label", mark=","):
    lines = [mark.join([*(f"{cell:g}" for cell in row), str(label)])
             for row, label in zip(rows, labels, strict=True)]  # fmt: skip
    return "\n".join([*([header.replace(",", mark)] if header else []), *lines]) + "\n"


PAIRED = list(zip(X, NAMES, strict=True))
MEANT = sorted(zip(map(tuple, X), NAMES, strict=True))


@pytest.mark.parametrize(
    ("text", "options"),
    {
        "names of classes": (table(), {}),
        "no header": (table(header=None), {}),
        "tabs": (table(mark="\t"), {"end": "tsv"}),
        "tabs in .csv": (table(mark="\t"), {}),
        "semicolons": (table(mark=";"), {}),
        "decimal commas": (table(mark=";").replace("0.5", "0,5"), {}),
        "decimal commas and tabs": (table(mark="\t").replace("0.5", "0,5"), {"end": "tsv"}),
        "said by Excel": ("sep=;\r\n" + table(mark=";"), {}),
        "byte order mark": ("\ufeff" + table(), {}),
        "lines of Windows": (table().replace("\n", "\r\n"), {}),
        "lines of old Macs": (table().replace("\n", "\r"), {}),
        "empty lines": (table().replace("\n", "\n\n") + " \n", {}),
        "spaces": (table().replace(",", " , "), {}),
        "quotes": (table().replace("cat", '"cat"').replace("2,", '"2", '), {}),
        "signs and exponents": (table().replace("0.5", "+5e-1").replace("-3", "-.3E1"), {}),
        "a comma at every end": (table().replace("\n", ",\n"), {}),
        "label in front": (
            "label,a,b\n" + "".join(f"{n},{a},{b}\n" for (a, b), n in PAIRED),
            {"label": "label"},
        ),
        "label in front, by number": (
            "".join(f"{n},{a},{b}\n" for (a, b), n in PAIRED),
            {"label": "1"},
        ),
        "a name for each row": (
            "who,a,b,label\n"
            + "".join(f"No {i},{a},{b},{n}\n" for i, ((a, b), n) in enumerate(PAIRED)),
            {"drop": ["who"]},
        ),
        "pandas' index": (
            ",a,b,label\n"
            + "".join(f"{i},{a},{b},{n}\n" for i, ((a, b), n) in enumerate(PAIRED)),
            {"drop": ["1"]},
        ),
        "a column of numbers counted": (
            "0,1,label\n" + table(header=None), {},
        ),
        "missing values left out": (table() + "?,1,cat\n1,,dog\n1,2,\n", {"missing": "drop"}),
        "sodium": (
            table(header="NA,b,label"), {},
        ),
        "a label over classes, beside numbers": (
            table(header="400,410,label"), {},
        ),
        "lines of commas alone": (table() + ",,\n", {}),
        "a comma at every end but the header's": (
            table(header=None).replace("\n", ",\n").replace("0.5", "a,b,label\n0.5", 1), {},
        ),
        "a class called None": (
            table(labels=["None", "dog", "None", "dog"]).replace("None", "cat"), {},
        ),
    }.values(),
)  # fmt: skip
def test_a_table_is_read_as_it_is_meant(text, options, read):
    data = read(text, **options)
    assert everything(data) == MEANT
    assert data.classes == ("cat", "dog")


def test_a_file_says_what_its_columns_and_classes_are_called(read):
    data = read(table() + "NA,1,cat\n", missing="drop")
    assert (data.features, data.classes, data.left_out) == (("a", "b"), ("cat", "dog"), 1)
    assert read(table(header=None)).features is None


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ((1, 2, 1, 2), ("1", "2")),
        ((-1, 1, 1, -1), ("-1", "1")),
        (("1.0", "0", "1", "0.0"), ("0", "1")),
        ((9, 10, 9, 10), ("9", "10")),
        (("True", "False", "True", "False"), ("False", "True")),
        (("None", "mild", "None", "mild"), ("None", "mild")),
        (("y", "n", "y", "n"), ("n", "y")),
        (("+", "-", "+", "-"), ("+", "-")),
    ],
)
def test_labels_are_classes_in_their_order(labels, classes, read):
    data = read(table(labels=labels, header="a,b,y"))
    assert data.classes == classes
    given = sorted(zip(map(tuple, X), labels, strict=True))
    assert [label for _, label in everything(data)] == [str(y).removesuffix(".0") for _, y in given]


def test_columns_of_true_and_false_are_numbers(read):
    data = read("a,b,label\nTrue,1,0\nFalse,2,1\nFALSE,3,0\nTRUE,4,1\n")
    assert [row[0] for row, _ in everything(data)] == [0, 0, 1, 1]


def test_the_test_file_has_the_columns_by_name(read):
    data = read(table(), "b,label,a\n9,cat,8\n", label="label")
    assert data.test.x.tolist() == [[8, 9]]
    assert data.test.y.tolist() == [0]
    data = read(
        "id," + table(header="a,b,c").replace("\n", "\n7,")[:-2], "c,b,a\ncat,9,8\n", drop=["id"]
    )
    assert data.test.x.tolist() == [[8, 9]]  # the label is called c, and a column is in one alone


def test_numbers_to_predict_are_targets(read):
    data = read(table(labels=(0.5, 2, -3.25, 1e3)), table(labels=(1, 2, 3, 4)))
    assert isinstance(data.train, Targets)
    assert isinstance(data.test, Targets)
    assert data.train.y.tolist() == [0.5, 2, -3.25, 1000]
    assert data.classes is None
    assert read(table(labels=(1, 2, 1, 2)), predict="numbers").train.y.dtype.kind == "f"
    assert read(table(labels=(7e9, 2, 7e9, 2)), predict="classes").classes == ("2", "7000000000")
    with pytest.raises(ConfigurationError, match="predict='both'; expected classes or numbers"):
        read(table(), predict="both")
    many = "".join(f"{i},{7 * i}\n" for i in range(40))  # whole, but nobody has forty classes
    parts = read(many.replace("0,0\n", "0.5,0\n"))
    assert sorted([*parts.train.y, *parts.test.y]) == [7 * i for i in range(40)]
    assert len(parts.test) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Got no rows"),
        ("\n \n", "Got no rows"),
        ("a,b\n", "Got no rows below the header"),
        ("1\n0\n", r"1 column\(s\) in line 1, expected 2"),
        ("1,2,0\n1,0\n1,2,1\n", r"2 column\(s\) in line 2, expected 3"),
        ("1 2 0\n1 2 1\n", r"1 column\(s\) in line 1.*commas, semicolons or tabs"),
        # a header says what it says
        ("a,b\n1,2,0\n1,2,1\n", "header of 2 names over rows of 3 cells.*R's row names"),
        ("a,b,label\n1,5,2,5,0\n1,5,2,5,1\n", "header of 3 names over rows of 5 cells"),
        ("a,b,c,d\n1,2,0\n1,2,1\n", "header of 4 names over rows of 3 cells"),
        ("label,a\n0,1\n1,2\n", "column 'label' in a header that ends with 'a'.*--label label"),
        ("Class,a\n0,1\n1,2\n", "column 'Class' in a header.*--label Class"),
        ("target,a,label\n0,1,0\n1,2,1\n", "columns 'label' and 'target'"),
        ("y,x1,x2\n0,1,0\n1,2,1\n", "column 'y' in a header that ends with 'x2'"),
        ("a,a,label\n1,2,0\n1,2,1\n", "2 columns called 'a'"),
        ("My data\na,b,label\n1,2,0\n1,2,1\n", "header of 1 names.*Remove the first line"),
        ("My data,,\na,b,label\n1,2,0\n1,2,1\n", "Remove the first line if it is a title"),
        ("diagnosis,a,b\n0,1,0\n1,2,1\n", "'diagnosis' in a header that ends with 'b'"),
        ("a,kind,id\n.5,1,7\n.25,0,9\n", "column 'id' as the last column, which tells rows apart"),
        ("400,410,kind\n.5,1,cat\n.2,2,cat\n.5,1,dog\n.2,2,dog\n", "'kind' in line 1, column 3"),
        (",a,label\n0,1,0\n1,2,1\n", "without a name for column 1.*--drop 1"),
        ("a,,label\n0,1,0\n1,2,1\n", "without a name for column 2.*--drop 2"),
        ("0,1,2\n.5,1,0\n.5,2,1\n", "Got 0, 1, 2 in line 1.*as pandas writes it"),
        ("1,2,3,4\n.5,1,2,0\n.5,2,3,1\n", "Got 1, 2, 3, ... in line 1"),
        (",0,1,2\n0,.5,1,0\n1,.5,2,1\n", "Got 0, 1, 2 in line 1"),
        ("a,b,label\n1,2,0\na,b,label\n3,4,1\n", "header of line 1 again in line 3"),
        # a bad first row is no header
        ("nan,nan,nan\n1,2,0\n3,4,1\n", "3 missing value.* in 1 of 3 rows.*line 1"),
        ("?,?,0\n1,2,0\n3,4,1\n", "2 missing value"),
        ("1,b,0\n1,2,1\n", "'b' in line 1, column 2, beside numbers"),
        ("x,x,cat\n1,2,cat\n1,2,dog\n", "'x' in line 1, column 1"),
        # numbers as CSV has them
        ("2000_01,0\n1,1\n1,0\n1,1\n", "'2000_01' in line 1, column 1"),
        ("１２,0\n1,1\n1,0\n1,1\n", "'１２' in line 1, column 1"),
        ("0x1A,0\n1,1\n1,0\n1,1\n", "'0x1A' in line 1"),
        ("1,0\n12%,1\n1,0\n1,1\n", "'12%' in line 2"),
        ("1,0\ninf,1\n1,0\n1,1\n", "'inf' in line 2"),
        ("1,0\n1e999,1\n1,0\n1,1\n", "'1e999' in line 2.*finite number"),
        ("1,0\n9007199254740993,1\n1,0\n1,1\n", "'9007199254740993' in line 2"),
        ('1,0\n"1,5",1\n1,0\n1,1\n', "'1,5' in line 2, column 1"),
        ("1,5;0\n1.5;1\n", "'1,5' in line 1 and '1.5' in line 2.*not both"),
        ("1,500;0\n2,500;1\n", "'1,500' in line 1, which may be a decimal number or thousands"),
        # quotation marks
        ('a,b,label\n"1,2,0\n' + "3,4,1\n" * 3000, "line 2 that is no CSV"),
        ('a,b,label\n1,2,0\n3,"4"5,1\n', "line 3 that is no CSV"),
        ('a,b,label\n1,2,"c\nat"\n3,4,dog\n', "line 2 that is no CSV: a cell goes on"),
        # missing values
        ("a,b\n1,0\n2,?\n", "1 missing value.* in 1 of 2 rows, the first, '.', in line 3, col"),
        ("1,0\n,1\nNA,0\n", "2 missing value.* in 2 of 3 rows.*--missing drop"),
        # text
        ("sex,a,label\nm,1,0\nf,2,1\nm,1,0\nf,2,1\n", "'m' in line 2.*'sex' is text.*--drop sex"),
        ("who,a,label\nx,1,0\ny,2,1\nz,1,0\n", "'who' is text, expected numbers. Leave it out"),
        ("sort,a\nx,1\ny,2\nx,1\ny,2\n", "column 'sort' is text.*--label sort"),
        ("x,1\ny,2\nx,1\ny,2\n", "column 1 is text.*--label 1"),
        ("a,b\n1,0\nz,1\n2,0\n3,1\n", "'z' in line 3, column 1.*Correct the cell"),
        # row numbers
        ("Id,a,label\n1,1,0\n2,2,1\n", "column 'Id' that numbers the rows.*--drop Id"),
        ("PassengerId,a,label\n892,1,0\n7,2,1\n", "column 'PassengerId' that numbers the rows"),
        *((f"{name},a,label\n1,1,0\n2,2,1\n", f"column '{name}' that numbers the rows")
          for name in ("RowNumber", "...1", "S.No", "Unnamed: 0.1", "id_patient")),
        ("X,a,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(12)), "column 'X' that"),
        ("".join(f"{i},{i % 3},{i % 2}\n" for i in range(12)), "column 1 that numbers the rows"),
        # labels
        ("1,1\n2,1\n", "only the class 1"),
        ("1,cat\n2,cat\n", "only the class cat"),
        ("1,0\n2,1\n3,1\n", "single row of class 0"),
        ("2,dog\n1,cat\n3,dog\n", "single row of class cat"),
        ("1,cat\n2,dog\n3,dog\n", "'cat' in line 1.*only row of its class, put it further down"),
        ("1,0\n2,l\n3,1\n4,1\n", "label 'l' in line 2 beside labels that are numbers"),
        ("1,Yes\n2,yes\n3,no\n4,no\n", "label 'yes' in line 2 beside 'Yes'"),
    ],
)  # fmt: skip
def test_what_could_be_meant_in_two_ways_is_refused_with_its_place(text, message, read):
    with pytest.raises(ConfigurationError, match=rf"(?s)mine\.csv.*{message}") as refused:
        read(text)
    assert len(str(refused.value)) < 450


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "lable"}, "Unknown column 'lable'. Did you mean 'label'"),
        ({"drop": ["c"]}, "Unknown column 'c'"),
        ({"drop": ["4"]}, "Unknown column '4'"),
        ({"drop": ["a", "b"]}, "no column beside the label"),
        ({"drop": ["a", "b", "label"]}, "every column to leave out"),
        ({"drop": "label", "label": "label"}, "column 'label' as the label and among those"),
        ({"missing": "fill"}, "missing='fill'; expected 'drop'"),
        ({"drop": 1.5}, r"drop=1.5; expected the name of a column"),
        ({"drop": [True]}, r"drop=\[True\]; expected the name of a column"),
        ({"label": 0.5}, r"label=0.5; expected the name of a column"),
        ({"label": ["a", "b"]}, r"label=\['a', 'b'\]; expected the name of a column"),
    ],
)
def test_options_of_columns_are_checked(options, message, read):
    with pytest.raises(ConfigurationError, match=message):
        read(table(), **options)
    with pytest.raises(
        ConfigurationError, match=r"--label label for a file without a header.*1 to 3"
    ):
        read(table(header=None), label="label")


def test_a_column_is_given_by_its_number_too(read):
    for label in (3, "3"):
        assert everything(read(table(), label=label)) == MEANT
    assert read(table(), drop=[1]).features == ("b",)


def test_a_column_without_a_value_is_named(read):
    with pytest.raises(ConfigurationError, match=r"no row without.*column 'b' has none: --drop 2"):
        read("a,b,label\n1,,0\n2,,1\n", missing="drop")


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (table(header=None), "names of columns in one of two files alone"),
        ("a,b\n1,2\n", "no column 'label' of the test file; expected the label of every row"),
        (",a,b,label\n0,1,2,cat\n", "without a name in the test file alone.*Give it a name"),
        (table(header="a,c,label"), "column 'b' in the training file alone"),
        ("a,b,c,label\n1,2,3,cat\n", "column 'c' in the test file alone.*--drop c"),
        (table(labels=("cat", "dog", "cow", "dog")), "'cow' in line 4 of the test file.*cat, dog"),
    ],
)  # fmt: skip
def test_a_test_file_that_says_other_things_is_refused(test, message, read):
    with pytest.raises(ConfigurationError, match=message):
        read(table(), test)


def test_targets_have_no_text_among_them(read):
    with pytest.raises(ConfigurationError, match=r"label 'cat' in line 2 of the test file.*number"):
        read(table(labels=(0.5, 2, -3.25, 1e3)), table(labels=("cat", 2, 3, 4)))


def test_another_encoding_is_answered_with_advice(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(table(labels=("Käse", "Brot", "Käse", "Brot")).encode("latin-1"))
    with pytest.raises(StorageError, match=r"as CSV in UTF-8.*Save it as UTF-8"):
        load(path)


def test_what_is_no_text_is_answered_with_advice(tmp_path):
    for content, advice in (
        (gzip.compress(table().encode()), "compressed. Unpack it"),
        (table().encode("utf-16-le"), "as UTF-16 has. Save it as UTF-8"),
    ):
        (tmp_path / "mine.csv").write_bytes(content)
        with pytest.raises(StorageError, match=advice):
            load(tmp_path / "mine.csv")
    (tmp_path / "iris.data").write_text(table())
    with pytest.raises(ConfigurationError, match=r"iris\.data, whose name does not end with .csv"):
        load(tmp_path / "iris.data")


def test_the_label_is_said(read):
    data = read(table(header="a,b,kind"))
    assert "2 classes of 'kind' (cat, dog)" in repr(data)
    assert data.about()["label"] == "kind"
