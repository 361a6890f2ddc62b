from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.report import environment


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out


def test_the_list_of_commands_imports_nothing_heavy() -> None:
    script = (
        "import sys; from benchmarks.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_the_users_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 1
    assert "invalid choice: 'speed'" in capsys.readouterr().err


def test_the_environment_names_no_person_and_no_place() -> None:
    import getpass
    import platform

    text = str(environment.describe())
    assert platform.node() not in text.split("'")
    assert getpass.getuser() not in text.split("'")
    assert environment.describe()["cores"] >= 1
    assert environment.available_mb() > 100
