"""Writes NAME.h and NAME.cpp into FOLDER: the bytes of FILES as constants (see embed.cmake)."""

import pathlib
import sys

HEADER = """#pragma once
#include <span>

#include "script/embedded_file.h"

namespace rewire::embedded {{
std::span<const File> {name}();
}}  // namespace rewire::embedded
"""

SOURCE = """#include "{name}.h"

namespace rewire::embedded {{
namespace {{
{arrays}
const File kFiles[] = {{
{entries}
}};
}}  // namespace

std::span<const File> {name}() {{ return kFiles; }}
}}  // namespace rewire::embedded
"""


def main(name, folder, *files):
    arrays, entries = [], []
    for number, path in enumerate(files):
        data = pathlib.Path(path).read_bytes()
        # One trailing zero, so that an empty file is no empty array.
        rows = (",".join(map(str, data[i : i + 32])) + "," for i in range(0, len(data), 32))
        arrays.append(f"constexpr unsigned char kBytes{number}[] = {{\n" + "\n".join(rows) + "0};")
        entries.append(
            f'    {{"{path}", {{reinterpret_cast<const char*>(kBytes{number}), {len(data)}}}}},'
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.h").write_text(HEADER.format(name=name))
    text = SOURCE.format(name=name, arrays="\n".join(arrays), entries="\n".join(entries))
    (folder / f"{name}.cpp").write_text(text)


main(*sys.argv[1:])
