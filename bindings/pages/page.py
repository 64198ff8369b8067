"""The blocks of a page in docs/frameworks: each has a name, and a story has to use each of them. Its links are followed, too.

<!-- test: NAME -->
```sh
...
"""

import re
from pathlib import Path

MARK = re.compile(r"<!-- test: ([a-z0-9-]+) -->")


class Page:
    """What a reader would paste, by its name."""

    def __init__(self, path):
        self.name = Path(path).stem
        self.text = Path(path).read_text()
        self._blocks, self._used = {}, set()
        name, language, lines = None, None, []
        for number, line in enumerate(self.text.splitlines(), 1):
            if language is None and not line.lstrip().startswith("```"):
                name = found.group(1) if (found := MARK.fullmatch(line)) else None
            elif language is None:
                where = f"{path}:{number}"
                if name is None:
                    raise SystemExit(
                        f"{where}: no test runs this block; write <!-- test: NAME --> above it and use it in {self.name}.py"
                    )
                if name in self._blocks:
                    raise SystemExit(f"{where}: a second block has the name {name}")
                language, lines = line.strip("`"), []
            elif line == "```":
                self._blocks[name] = "\n".join(lines) + "\n"
                name = language = None
            else:
                lines.append(line)
        if language is not None:
            raise SystemExit(f"{path}: the last block has no end")
        self._follow_links(Path(path))

    def _follow_links(self, path):
        """Each link leads to a file, and to a heading in it if it names one."""
        for link in re.findall(r"\]\(([^)]+)\)", re.sub(r"(?ms)^```.*?^```$", "", self.text)):
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if link.startswith("http"):
                continue
            if not target.exists():
                raise SystemExit(f"{path}: the link to {link} leads nowhere")
            headings = re.findall(r"(?m)^#+ (.*)$", target.read_text()) if anchor else []
            if anchor and anchor not in {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }:
                raise SystemExit(f"{path}: {file or path.name} has no heading #{anchor}")

    def __getitem__(self, name):
        self._used.add(name)
        if name not in self._blocks:
            raise AssertionError(f"{self.name}.md has no block {name}")
        return self._blocks[name]

    def unused(self):
        """Of these the story has not made anything."""
        return sorted(self._blocks.keys() - self._used)
