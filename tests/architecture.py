#!/usr/bin/env python3
"""The direction that the code may not turn: main -> adapters -> ports and cores -> reading.

usage: tests/architecture.py        prints each include that breaks a rule; exit 1 if there is one
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)

# What only an adapter may see, and the files or folders that are its adapters.
TECHNOLOGY = {
    "OpenSSL": (r"openssl/", ("shared/crypto/", "server/crypto/")),
    "libgpiod": (r"gpiod\.h", ("meter-pi/gpiod_",)),
    "paho": (r"mqtt/|MQTT", ("shared/paho_",)),
    "SQLite": (r"sqlite3|SQLiteCpp/", ("meter-pi/sqlite_", "server/sqlite_", "tests/unit/")),
    "toml++": (r"toml\+\+/", ("shared/config_file",)),
    "spdlog": (r"spdlog/", ("shared/log.cpp",)),
    "Asio": (r"boost/asio", ("shared/event_loop.cpp",)),
    "CLI11": (r"CLI/", ("shared/command_line.cpp",)),
}
# Which of our own folders a folder may include.
OWN = {
    "shared": {"shared"},
    "meter-pi": {"shared", "meter-pi"},
    "server": {"shared", "server"},
}


def broken_rules(name: str, text: str) -> list[str]:
    folder = name.split("/")[0]
    found = []
    for included in INCLUDE.findall(text):
        target = included.split("/")[0]
        if folder in OWN and target in OWN and target not in OWN[folder]:
            found.append(f"{name}: {folder} may not include {included}")
        for technology, (pattern, adapters) in TECHNOLOGY.items():
            if re.match(pattern, included) and not name.startswith(adapters):
                found.append(f"{name}: only {', '.join(adapters)} may see {technology} ({included})")
    return found


def check_the_check() -> None:
    assert broken_rules("meter-pi/meter.cpp", '#include "server/ledger.hpp"\n')
    assert broken_rules("server/head_end.hpp", "#include <SQLiteCpp/SQLiteCpp.h>\n")
    assert broken_rules("shared/reading.cpp", "# include <openssl/evp.h>\n")
    assert broken_rules("server/commands/init.cpp", "#include <CLI/CLI.hpp>\n")
    assert not broken_rules("server/sqlite_ledger.cpp", '#include "shared/reading.hpp"\n#include <sqlite3.h>\n')


def main() -> int:
    check_the_check()
    files = [path for folder in OWN for pattern in ("*.hpp", "*.cpp") for path in (ROOT / folder).rglob(pattern)]
    assert len(files) > 50, "the sources are not where this test looks for them"
    found = [rule for path in sorted(files) for rule in broken_rules(path.relative_to(ROOT).as_posix(), path.read_text())]
    print("\n".join(found) or f"{len(files)} files keep the direction")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
