"""The object store library is loaded without what a command does not need, and programs that use it too share it."""

from __future__ import annotations

import subprocess
import sys


def said(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_command_loads_neither_typing_nor_re() -> None:
    assert (
        said("import sys; import windlass.stores.objects; print(sorted({'typing', 're', 'enum', 'threading'} & set(sys.modules)))") == "[]"
    )


def test_a_program_may_import_the_library_afterwards() -> None:
    program = (
        "from windlass.stores import objects; import obstore; from obstore.store import S3Store; "
        "print(obstore.put is objects.obstore.put, issubclass(S3Store, objects.Client), obstore.exceptions.BaseError in objects._FAILURES)"
    )
    assert said(program) == "True True True"


def test_a_program_may_have_imported_it_before() -> None:
    assert said("import obstore; from windlass.stores import objects; print(obstore.put is objects.obstore.put)") == "True"


def test_a_program_with_threads_imports_it_as_anybody_does() -> None:
    assert said("import sys, threading; from windlass.stores import objects; print('obstore' in sys.modules)") == "True"


def test_another_layout_of_the_library_is_imported_as_anybody_does() -> None:
    program = (
        "import sys; from windlass.stores import library; library._alone = lambda: (_ for _ in ()).throw(ImportError('moved')); "
        "from windlass.stores import objects; print('obstore' in sys.modules, callable(objects.obstore.put))"
    )
    assert said(program) == "True True"


def test_everyday_answers_are_understood_without_re() -> None:
    program = (
        "import sys; from windlass.stores.answers import understand; "
        "sent = 'Error performing {} http://h/b/k in 1.5ms - Server returned non-2xx status code: {} X: <Error><Code>{}</Code></Error>'; "
        "answers = ('PUT', 412, 'PreconditionFailed'), ('GET', 404, 'NoSuchKey'); "
        "found = [understand(OSError(sent.format(*one))) for one in answers]; "
        "print([(one.status, one.code, one.keyless) for one in found], 're' in sys.modules)"
    )
    assert said(program) == "[(412, 'PreconditionFailed', False), (404, 'NoSuchKey', False)] False"
