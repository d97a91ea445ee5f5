"""What would the tests not see? `python -m tests.mutation --files fastem/model/covariance.py --sample 100`.

Mutants are copies of the package with one small change each: a sign, an index, a bound that is off by one, a term or a
statement left out. A process that has imported what is slow to import forks a child for each of them, in a copy of the
package and its tests; there the tests that call the changed function run, the shortest first, up to the first failure.
A mutant that no test kills shows a gap in the tests, or code that could as well be otherwise.
"""

import argparse
import ast
import contextlib
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = "fastem", "tests", "setup.cfg", "pyproject.toml"

# Of each file, the test files that speak for it; where a mutant survives those, the others of its kind follow.
FAMILIES = {
    "covariance": ("covariance", "statistics"), "statistics": ("statistics", "covariance"),
    "regularized": ("penalized", "bayesian_mixture"), "penalized": ("penalized",), "variational": ("bayesian_mixture",),
    "em": ("gaussian_mixture", "acceleration"), "acceleration": ("acceleration",), "coordinates": ("acceleration",),
    "posterior_moves": ("bayesian_mixture",), "posterior_merging": ("bayesian_mixture",),
    "known": ("weights", "labels_and_assignment"), "online": ("online",), "reduction": ("reduction",),
}  # fmt: skip
OF_FAMILIES = (
    "covariance", "statistics", "acceleration", "gaussian_mixture", "weights", "labels_and_assignment", "penalized",
    "bayesian_mixture", "against_sklearn", "properties", "truth", "online", "search", "sources",
)  # fmt: skip
IN_KERNELS = "blocks", "sums", "passes", "cuts", "points", "triangular", "axis_aligned", "shared", "tiles"
KERNELS = {
    **dict.fromkeys(IN_KERNELS, ("kernels",)),
    **{"elementary": ("elementary",), "ordering": ("pruning",), "pruning": ("pruning",)},
    **{"leading": ("leading",), "leading_pass": ("leading",), "assignments": ("kernels",)},
    "vectors": ("elementary", "kernels"),
}
OF_KERNELS = "elementary", "statistics", "pruning", "kernels", "weights", "labels_and_assignment", "truth"
GENERATING = "tiles", "vectors"  # code for the compiler: nothing of it is run as Python
COMPILING = {"kernel", "chunk_kernel", "intrinsic", "overload", "cache"}  # decorators whose functions aren't called

SLOW_TO_IMPORT = (  # neither fastem nor numba, which looks once whether it is to compile
    "numpy", "scipy.special", "scipy.stats", "sklearn.mixture", "sklearn.cluster", "sklearn.datasets",
    "sklearn.utils.estimator_checks", "pytest", "hypothesis", "pandas", "mpmath", "pyarrow.parquet",
)  # fmt: skip
MEMORY = 4 << 30  # bytes that a child may have beside what it begins with
PATIENCE, SLACK = 5, 20  # times the seconds that the tests take without a mutant, and seconds more
COMPILATION = 100  # seconds, where all kernels are compiled anew


# -- mutants ----------------------------------------------------------------------------------------------------------

OPERATORS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.Pow: ("**", "*"),
    ast.BitOr: ("|", "&"), ast.BitAnd: ("&", "|"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
}  # fmt: skip
OPPOSITES = [
    *(("add", "sub"), ("mul", "div"), ("fadd", "fsub"), ("fmul", "fdiv"), ("fma", "fnma"), ("shl", "ashr")),
    *(("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("zeros", "ones")),
]
OPPOSITE = dict([*OPPOSITES, *(pair[::-1] for pair in OPPOSITES)])
KEPT = {  # which argument is left of a call
    **dict.fromkeys(("add", "sub", "mul", "div", "fadd", "fsub", "fmul", "fdiv"), 0),
    **dict.fromkeys(("abs", "absolute", "sqrt", "exp", "log", "fneg", "max", "min", "maximum", "minimum"), 0),
    **{"plus": 1, "fma": 2, "fnma": 2},
}
OF_TWO = {"max", "min", "maximum", "minimum"}  # of one argument they are reductions
NEVER_SEEN = "NotImplementedError", "AssertionError"
SWAPPED = {"sub": (0, 1), "div": (0, 1), "fsub": (0, 1), "fdiv": (0, 1), "select_greater": (2, 3), "where": (1, 2)}


@dataclass(frozen=True)
class Mutant:
    """Bytes start to stop of a file replaced; `function` is the line where that begins which is called, if any."""

    path: str
    start: int
    stop: int
    new: str
    line: int
    function: int | None
    kind: str

    @property
    def name(self):
        return Path(self.path).stem

    @property
    def is_kernel(self):
        return Path(self.path).parent.name == "kernels"

    def applied(self, code):
        return code[: self.start] + self.new.encode() + code[self.stop :]

    def shown(self, code):
        """The line with {old => new} in it."""
        begin, end = code.rfind(b"\n", 0, self.start) + 1, code.find(b"\n", self.stop)
        parts = code[begin : self.start], code[self.start : self.stop], code[self.stop : end]
        before, old, after = (part.decode() for part in parts)
        return " ".join(f"{before}{{{old} => {self.new}}}{after}".split())


class Source:
    """A file: its bytes, its syntax and where in the bytes the syntax's nodes are."""

    def __init__(self, path):
        self.code = path.read_bytes()
        self.tree = ast.parse(self.code)
        self._lines = [0, *itertools.accumulate(map(len, self.code.splitlines(keepends=True)))]

    def start(self, node):
        return self._lines[node.lineno - 1] + node.col_offset

    def stop(self, node):
        return self._lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node):
        text = self.code[self.start(node) : self.stop(node)].decode()
        is_compound = isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Lambda)
        return f"({text})" if is_compound else text

    def functions_at(self, line):
        """Functions, the outermost first, that a line is in."""
        functions = (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef))
        return sorted((f for f in functions if f.lineno <= line <= f.end_lineno), key=lambda f: f.lineno)


def nodes_of(node):
    """All nodes but those of imports, annotations, decorators, messages and public names."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Assign(targets=[ast.Name("__all__")]):
            return
        case ast.Raise(ast.Name(name) | ast.Call(ast.Name(name))) if name in NEVER_SEEN:
            return
    yield node
    if isinstance(node, ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from nodes_of(child)


def edits(node, source):
    """(start, stop, new text) for each small change of a node."""
    match node:
        case ast.BinOp(left, operator, right):
            yield _whole(node, source, source.text(left))
            yield from _between(left, right, operator, source)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield _whole(node, source, source.text(operand))
        case ast.Compare(left, operators, others):
            for operator, (a, b) in zip(operators, itertools.pairwise([left, *others]), strict=True):
                yield from _between(a, b, operator, source)
        case ast.BoolOp(operator, values):
            for a, b in itertools.pairwise(values):
                yield from _between(a, b, operator, source)
        case ast.If(test) | ast.While(test) | ast.IfExp(test):
            yield from _negated(test, source)
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield from _negated(test, source)
        case ast.AugAssign(target, operator, value):
            yield _whole(node, source, "pass")
            yield source.stop(target), source.start(value), " = "
            yield from _between(target, value, operator, source)
        case ast.Expr(ast.Call()) | ast.Delete() | ast.Raise() | ast.Break() | ast.Continue():
            yield _whole(node, source, "pass")
        case ast.Assign([ast.Subscript()]):
            yield _whole(node, source, "pass")
        case ast.Constant(bool(value)):
            yield _whole(node, source, str(not value))
        case ast.Constant(int(value)):
            yield from (_whole(node, source, str(value + change)) for change in (1, -1))
        case ast.Constant(float(value)) if value % 0.5 == 0:
            yield _whole(node, source, str(value + 1))
        case ast.Subscript(slice=index):
            yield from _other_index(index, source)
        case ast.Call(ast.Name("range"), arguments):
            for bound in arguments[:2]:
                if not isinstance(bound, ast.Constant):
                    yield from (_whole(bound, source, f"{source.text(bound)} {change}") for change in ("+ 1", "- 1"))
        case ast.Call(ast.Name(name) | ast.Attribute(attr=name), arguments):
            yield from _other_call(node, name, arguments, source)


def _whole(node, source, new):
    return source.start(node), source.stop(node), new


def _between(left, right, operator, source):
    old, new = OPERATORS.get(type(operator), (None, None))
    if old is not None:
        start = source.code.find(old.encode(), source.stop(left), source.start(right))
        if start >= 0:
            yield start, start + len(old), new


def _negated(test, source):
    if not isinstance(test, ast.Constant) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield _whole(test, source, f"not {source.text(test)}")


def _other_index(index, source):
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    if len(parts) == 2 and source.text(parts[0]) != source.text(parts[1]):
        yield source.start(parts[0]), source.stop(parts[1]), f"{source.text(parts[1])}, {source.text(parts[0])}"
    bounds = [bound for part in parts if isinstance(part, ast.Slice) for bound in (part.lower, part.upper)]
    for part in parts + bounds:
        if isinstance(part, ast.Name):
            yield from (_whole(part, source, f"{part.id} {change}") for change in ("+ 1", "- 1"))


def _other_call(node, name, arguments, source):
    function = node.func
    of_builder = isinstance(function, ast.Name) or source.text(function.value).endswith("builder")
    if name in OPPOSITE and (name != "add" or of_builder):
        yield source.stop(function) - len(name), source.stop(function), OPPOSITE[name]
    if len(arguments) > max(KEPT.get(name, 99), name in OF_TWO) and (name != "add" or of_builder):
        yield _whole(node, source, source.text(arguments[KEPT[name]]))
    i, j = SWAPPED.get(name, (99, 99))
    if len(arguments) > j:
        a, b = arguments[i], arguments[j]
        yield source.start(a), source.stop(b), f"{source.text(b)}, {source.text(a)}"


def mutants_of(path):
    """Every mutant of a file, none twice, each another program."""
    source, mutants = Source(ROOT / path), {}
    original = ast.dump(source.tree)
    for node in nodes_of(source.tree):
        for start, stop, new in edits(node, source):
            line = source.code.count(b"\n", 0, start) + 1
            mutant = Mutant(path, start, stop, new, line, *_place(source, path, line))
            with contextlib.suppress(SyntaxError):
                program = ast.dump(ast.parse(mutant.applied(source.code)))
                if program != original:
                    mutants.setdefault(program, mutant)
    return list(mutants.values())


def _place(source, path, line):
    """(where the function begins that is called, None where that can't be seen; its kind)."""
    functions = source.functions_at(line)
    decorators = [decorator for function in functions for decorator in function.decorator_list]
    names = {getattr(node, "id", getattr(node, "attr", "")) for d in decorators for node in ast.walk(d)}
    is_generated = Path(path).stem in GENERATING or "intrinsic" in names
    kind = "generated" if is_generated else "compiled" if names & COMPILING else "python"
    if not functions or "cache" in names:
        return None, kind
    innermost = functions[-1]
    return min([innermost.lineno, *(decorator.lineno for decorator in innermost.decorator_list)]), kind


# -- a child that runs tests ------------------------------------------------------------------------------------------


class Recorder:
    """A plugin of pytest: only the tests wanted, in that order; what failed first; who calls what, and how long."""

    def __init__(self, wanted=None):
        self._wanted = wanted
        self.failed = None
        self.tests = {}

    def pytest_collection_modifyitems(self, items):
        if self._wanted is not None:
            order = {name: position for position, name in enumerate(self._wanted)}
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_protocol(self, item):
        self._begin, self._calls = time.perf_counter(), set()
        if self._wanted is None:
            threading.settrace(self._trace)
            sys.settrace(self._trace)

    def _trace(self, frame, event, argument):
        if "/fastem/" in frame.f_code.co_filename:
            self._calls.add((frame.f_code.co_filename.rpartition("/fastem/")[2], frame.f_code.co_firstlineno))

    def pytest_runtest_logfinish(self, nodeid):
        sys.settrace(None)
        self.tests[nodeid] = time.perf_counter() - self._begin, sorted(self._calls)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid

    pytest_collectreport = pytest_runtest_logreport


@dataclass
class Outcome:
    """How a run of tests ended: 'passed' or why not; the first test that failed; of each test its seconds and calls."""

    end: str
    failed: str | None = None
    tests: dict | None = field(default=None, repr=False)


class Overlay:
    """A copy of the package and its tests in a folder, where they run."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._result, self._log, self._kernels = (folder / name for name in ("result.json", "log.txt", "kernels"))
        self.root = folder / "copy"
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, self.root)
        files = sorted(path for path in self.root.rglob("*.py") if path.name != Path(__file__).name)
        self._digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    @contextlib.contextmanager
    def with_mutant(self, mutant):
        path = self.root / mutant.path
        original = path.read_bytes()
        Path(cache_from_source(path)).unlink(missing_ok=True)  # it might pass for the mutant's, of the same second
        path.write_bytes(mutant.applied(original))
        try:
            yield
        finally:
            path.write_bytes(original)

    @cache  # noqa: B019
    def tests(self, name, interpreted=False):
        """{name: (seconds, calls)} of the tests of a file, which must pass as they are."""
        record = self.folder / f"{name}{'-interpreted' * interpreted}.json"
        if record.exists() and (kept := json.loads(record.read_text()))["digest"] == self._digest:
            return kept["tests"]
        outcome = self.run([name], interpreted=interpreted, seconds=1800)
        if outcome.end != "passed":
            raise RuntimeError(f"test_{name} without any mutant: {outcome}; {self._log.read_text()[-2000:]}")
        record.write_text(json.dumps({"digest": self._digest, "tests": outcome.tests}))
        return outcome.tests

    def run(self, names, *, wanted=None, interpreted=False, seconds, anew=False):
        """Run the tests of these files, up to the first failure where only some are wanted; `anew`: compile all."""
        self._result.unlink(missing_ok=True)
        kernels = self.folder / "new kernels" if anew else self._kernels
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.setsid()
                code = self._run(names, wanted, interpreted, kernels)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        try:
            code = _waited_for(child, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            if anew:
                shutil.rmtree(kernels, ignore_errors=True)
        if code is None or code < 0:
            return Outcome("timed out" if code is None else f"crashed by signal {-code}")
        if not self._result.exists():
            return Outcome(f"ended with code {code}")
        failed, tests = json.loads(self._result.read_text())
        return Outcome("passed" if code == 0 else "failed", failed or f"pytest's exit code {code}", tests)

    def _run(self, names, wanted, interpreted, kernels):
        """In the child."""
        with self._log.open("wb") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        os.chdir(self.root)
        os.environ.update(NUMBA_CACHE_DIR=str(kernels), PYTHONPATH=str(self.root))
        sys.path[:] = [str(self.root), *(path for path in sys.path if Path(path).resolve() != ROOT)]
        for module in [module for module in sys.modules if module.partition(".")[0] == "tests"]:
            del sys.modules[module]
        if wanted is not None:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        _limit_memory()
        import hypothesis
        import pytest

        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None, phases=phases)
        hypothesis.settings.load_profile("mutation")
        recorder = Recorder(wanted)
        arguments = ["-q", "--tb=short", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:randomly"]
        arguments += ["--exhaustive"]
        os.environ["NUMBA_DISABLE_JIT"] = "1" if interpreted else "0"
        arguments += [] if wanted is None else ["-x"]
        code = pytest.main([*arguments, *(f"tests/test_{name}.py" for name in names)], plugins=[recorder])
        if "fastem" in sys.modules:
            assert Path(sys.modules["fastem"].__file__).is_relative_to(self.root)
        self._result.write_text(json.dumps([recorder.failed, recorder.tests]))
        return int(code)


def _limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _waited_for(child, seconds):
    """A process' exit code, less than 0 for a signal; None where it takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


# -- whoever waits for it ---------------------------------------------------------------------------------------------


def stages(mutant):
    """(test files, whether kernels run as plain Python there) in the order in which a mutant has to survive them."""
    own = (KERNELS if mutant.is_kernel else FAMILIES)[mutant.name]
    others = OF_KERNELS if mutant.is_kernel else OF_FAMILIES
    if mutant.is_kernel and mutant.kind != "generated" and "kernels" in own:
        yield ("kernels",), True
    yield own, False
    yield tuple(name for name in others if name not in own), False


def judged(mutant, overlay, most_seconds):
    """(whether it was killed, by what)."""
    n_tests = 0
    for names, interpreted in stages(mutant):
        known = {test: record for name in names for test, record in overlay.tests(name, interpreted).items()}
        calls = mutant.kind == "python" or interpreted
        function = [mutant.path.removeprefix("fastem/"), mutant.function]
        if interpreted and mutant.function and not any(function in called for _, called in known.values()):
            continue
        wanted = _wanted(known, function if calls else None, most_seconds)
        n_tests += len(wanted)
        seconds = SLACK + PATIENCE * sum(known[test][0] for test in wanted)
        anew = mutant.is_kernel and not interpreted
        seconds += COMPILATION if anew else 0
        files = [name for name in names if any(f"/test_{name}.py" in test for test in wanted)]
        with overlay.with_mutant(mutant):
            outcome = overlay.run(files, wanted=wanted, interpreted=interpreted, seconds=seconds, anew=anew)
        if outcome.end != "passed":
            return True, outcome.failed or outcome.end
    return False, f"SURVIVED {n_tests} tests"


def _wanted(known, function, most_seconds):
    """Tests that call a function, all where none is seen to, the shortest first; no longer than that together."""
    tests = [test for test, (_, calls) in known.items() if function in calls] or list(known)
    tests.sort(key=lambda test: known[test][0])
    together = itertools.accumulate(known[test][0] for test in tests)
    return [test for test, seconds in zip(tests, together, strict=True) if seconds <= most_seconds] or tests[:1]


_worker = {}


def _workers(number, folder, most_seconds):
    context = multiprocessing.get_context("fork")
    names = context.SimpleQueue()
    for i in range(number):
        names.put(f"worker{i}")
    return ProcessPoolExecutor(number, context, initializer=_begin_work, initargs=(folder, names, most_seconds))


def _begin_work(folder, names, most_seconds):
    _worker.update(overlay=Overlay(folder / names.get()), most_seconds=most_seconds)


def _work(mutant):
    begin = time.monotonic()
    return mutant, *judged(mutant, **_worker), time.monotonic() - begin


def selected(options):
    """The mutants asked for."""
    places = [place.rpartition(":") for place in options.only]
    paths = options.files or list(dict.fromkeys(path for path, *_ in places))
    paths = paths or [*(f"fastem/{name}.py" for name in FAMILIES), *(f"fastem/kernels/{name}.py" for name in KERNELS)]
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    if places:
        lines = {(path, int(line)) for path, _, line in places}
        mutants = [mutant for mutant in mutants if (mutant.path, mutant.line) in lines]
    if options.sample is not None and options.sample < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.sample)
    return sorted(mutants, key=lambda mutant: (paths.index(mutant.path), mutant.start))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", nargs="+", metavar="FILE", help="such as fastem/model/covariance.py (default: all)")
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE:LINE", help="mutants of these lines alone")
    parser.add_argument("--sample", type=int, help="so many of them, drawn (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="of tests at each stage, for a mutant")
    parser.add_argument("--folder", help="where compiled kernels and records of tests are kept")
    options = parser.parse_args()
    mutants = selected(options)
    codes = {path: (ROOT / path).read_bytes() for path in {mutant.path for mutant in mutants}}
    for module in SLOW_TO_IMPORT:
        importlib.import_module(module)
    counts = defaultdict(Counter)
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        folder = Path(options.folder or temporary).resolve()
        with _workers(options.workers, folder, options.seconds) as pool:
            for future in as_completed([pool.submit(_work, mutant) for mutant in mutants]):
                mutant, is_killed, by, seconds = future.result()
                counts[mutant.path][is_killed] += 1
                shown = mutant.shown(codes[mutant.path])
                print(f"{mutant.path}:{mutant.line}: {shown}  # {by}, {seconds:.1f} s", flush=True)
    print(f"\n{'file':32} mutants  killed  survived  share")
    for path, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        n, killed = count.total(), count[True]
        print(f"{path:32} {n:7} {killed:7} {n - killed:9} {killed / max(n, 1):6.1%}")


if __name__ == "__main__":
    main()
