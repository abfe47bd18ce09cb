"""The documentation: commands that exist, every finding explained, pages that are there. Nothing is run."""

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from haop.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

# Where a judgement has its code: these keywords, the first word to these functions, and in rules that are tuples of
# (whether it is so, code, message, hint) the second.
CODE_KEYWORDS = {"code", "check"}
CODE_MAKERS = {"_check"}
CODE_RULES = {"_remarks"}
# typer has a click of its own, whose errors only its own names lead to.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_SHELLS = {"sh", "bash", "console"}
# What haop does, in messages: no commands.
VERBS = {
    "as", "asks", "chooses", "cluster", "decides", "did", "has", "keeps", "knows", "makes", "needs", "on", "overwrites",
    "runs", "to", "that", "will", "works", "would", "writes", "from", "may",
}  # fmt: skip


def test_the_page_of_commands_says_what_help_says() -> None:
    """But for where lines are broken, which is a library's choice."""
    written = runpy.run_path(str(DOCS / "commands.py"))
    assert written["PAGE"].read_text().split() == written["page"]().split(), "run: .venv/bin/python docs/commands.py"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_in_a_page_exists_with_its_options(page: Path) -> None:
    text = page.read_text()
    wrong = [f"{line}: {why}" for line in in_blocks(text) if (why := objection(line))]
    wrong += [f"{span}: {why}" for span in in_spans(text) if (why := objection(mentioned(span), mention=True))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    ["haop statsu", "haop status --jsno", "haop drill failover --fault flood", "haop rejoin", "haop up db1 db2 db3",
     "echo $(haop up --purge)", "cd shop && haop statsu", "haop -D shop up"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_found_out(line: str) -> None:
    assert objection(line)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_of_blocks(page.read_text())):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def test_every_command_in_a_hint_or_a_message_exists_with_its_options() -> None:
    files = [*(ROOT / "haop").rglob("*.py"), *(ROOT / "templates").iterdir()]
    told = {(path.relative_to(ROOT), text) for path in files for text in messages(path)}
    found = {(path, call) for path, text in told for call in re.findall(r"\bhaop ([^\n;,:()`&|\"]*)", text)}
    assert len(found) > 100, "it does find them"
    wrong = [f"{path}: haop {call}: {why}" for path, call in sorted(found) if (why := complaint(call.split()))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("call", ["statsu says why", "rebuild makes it anew", "up --force", "drill fialover"])
def test_a_hint_that_names_no_command_is_found_out(call: str) -> None:
    assert complaint(call.split())


def messages(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings, what is filled in as NODE; all of another file."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    nodes = list(ast.walk(ast.parse(path.read_text())))
    apart = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            apart |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "NODE" for part in node.values)
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node.value


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command within a sentence: the sentence may go on behind it."""
    command, words = tree(), [word.rstrip(".") for word in words]
    if words[:1] == ["-C"]:
        words = words[2:]
    if not words or words[0] in VERBS or words[0].startswith("NODE"):
        return None
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    if unknown := {word for word in words if re.match("--?[a-z]", word)} - options:
        return f"there is no option {', '.join(sorted(unknown))}"
    needs = any(parameter.metavar == "NODE" for parameter in command.params if parameter.required)
    return "NODE is missing" if needs and not re.match(r"NODE|db\d|\$HAOP_NODE", words[0] if words else "") else None


def test_what_the_guard_does_is_not_told_as_nothing() -> None:
    """Of what a guard acts on by itself."""
    text = (DOCS / "troubleshooting.md").read_text()
    for code in ("no-primary", "unreachable", "fenced", "not-streaming", "slot-missing", "slot-inactive"):
        told = text.partition(f"\n### {code}\n")[2].partition("- haop did:")[2].partition("\n- Do:")[0]
        assert "guard" in told, code
    assert "never promotes" not in text


def test_exit_codes_are_listed_once() -> None:
    for section in (DOCS / "commands.md").read_text().split("\n## ")[1:]:
        assert section.count("Exit codes:") <= 1, section.partition("\n")[0]


def test_every_finding_is_explained_and_nothing_else() -> None:
    explained = set(re.findall(r"^### ([a-z][a-z0-9_-]*)$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE))
    # What `haop adopt` says of a database that is not haop's yet has a row each.
    remarks = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "adopt-codes.md").read_text(), re.MULTILINE))
    found = {path.relative_to(ROOT): codes(path) for path in (ROOT / "haop").rglob("*.py")}
    adopting = {code for path, those in found.items() if "adopt" in path.name for code in those}
    others = {code for path, those in found.items() if "adopt" not in path.name for code in those}
    assert (sorted(others - explained), sorted(adopting - remarks)) == ([], []), "not explained"
    assert (sorted(explained - others), sorted(remarks - adopting)) == ([], []), "explained, and in no code"


def codes(path: Path) -> set[str]:
    """The codes of judgements that a file of haop can make."""
    found = set()
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        words = [keyword.value for keyword in call.keywords if keyword.arg in CODE_KEYWORDS]
        maker = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if maker in CODE_MAKERS:
            words += call.args[:1]
        if maker in CODE_RULES:
            words += [rule.elts[1] for rule in ast.walk(call) if isinstance(rule, ast.Tuple) and len(rule.elts) == 4]
        for word in words:
            found |= set(chosen(word))
    return {code for code in found if re.fullmatch(r"[a-z][a-z0-9_-]*", code)}


def chosen(word: ast.expr) -> Iterator[str]:
    """What an expression can come to, where that is told in letters."""
    match word:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from chosen(word.body)
            yield from chosen(word.orelse)


def in_blocks(text: str) -> Iterator[str]:
    """Lines of shell in fenced blocks that call haop; continued ones joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language in _SHELLS:
            prompted = [line for line in block.splitlines() if language != "console" or line.startswith("$ ")]
            for line in "\n".join(prompted).replace("\\\n", " ").splitlines():
                if re.search(r"\bhaop ", line.partition("#")[0]):
                    yield line.removeprefix("$ ")


def in_spans(text: str) -> Iterator[str]:
    """Code in running text and in tables that calls haop, by itself or within another command."""
    spans = re.findall(r"`([^`]+)`", outside_of_blocks(text))
    yield from (span for span in spans if re.search(r"(^|\$\()haop ", span))


def outside_of_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def mentioned(span: str) -> str:
    """A mention as a command: what may be left out is there, and of several the first."""
    return re.sub(r"(\w+)(\|\w+)+", r"\1", re.sub(r"[\[\]]", "", span.replace(r"\|", "|")))


def objection(line: str, *, mention: bool = False) -> str | None:
    """What is wrong with the calls of haop in a line of shell; a mention may leave out arguments."""
    for inner in re.findall(r"\$\((haop [^()]*)\)", line):
        if why := objection(inner, mention=mention):
            return why
    for words in calls(line):
        try:
            parse(words)
        except _UsageError as error:
            if not (mention and type(error).__name__ == "MissingParameter"):
                return str(error) or type(error).__name__
    return None


def calls(line: str) -> Iterator[list[str]]:
    """The simple commands of a line that call haop, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word[0] in "();|&":
            command = words[: next((at for at, it in enumerate(words) if it[0] in "<>"), None)]
            if command[:1] == ["haop"] and command[1:2] != ["COMMAND"]:
                yield command[1:]
            words = []
        else:
            words.append(word)


def parse(words: list[str]) -> None:
    """Parse as `haop` would, and run nothing."""
    command, context, name = tree(), None, "haop"
    while True:
        if words[-1:] in (["-h"], ["--help"]):
            return
        context = command.make_context(name, list(words), parent=context)
        rest = [*context._protected_args, *context.args]
        if not rest or not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(context, rest)


@cache
def tree() -> Any:
    """The commands, without what acts as soon as it is read: --install-completion would."""
    root: Any = typer.main.get_command(app)
    commands = [root]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        for parameter in command.params:
            parameter.callback = None
    return root


def anchors(page: Path) -> set[str]:
    """Headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", outside_of_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
