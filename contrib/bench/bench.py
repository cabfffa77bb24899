"""Measure the speed of the service: `python contrib/bench/bench.py`.

Each application runs in one gunicorn sync worker, all at the same time, in alternating
rounds of load. The results are ratios of two applications within a round, the median of
all rounds, because the speed of a shared machine drifts; and ratios of the CPU time for a
response, which other processes affect less. The load comes from wrk. automx2 and granian
take part if they are installed. `--quick` measures the middleware only. Requires
`pip install '.[test]'` and wrk.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from contextlib import ExitStack, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent / "tests"))

from services import free_port  # noqa: E402 (the path is that of the line before)
from support import TWO_DOMAINS  # noqa: E402 (the path is that of the line before)

QUERY = "/mail/config-v1.1.xml?emailaddress=fred@"
SERVERS = "\nlist_domains = false\n" + TWO_DOMAINS.partition("]\n\n")[2]


def configuration(folder: Path, domains: int, providers: int = 1) -> Path:
    """Write a file with so many exact domains, distributed over so many providers."""
    names = ["example.com", *(f"d{number:06}.example" for number in range(1, domains))]
    text = ""
    for start in range(providers):
        listed = ", ".join(f'"{name}"' for name in names[start::providers])
        text += f"[[provider]]\ndomains = [{listed}]{SERVERS}"
    file = folder / f"{domains}-{providers}.toml"
    file.write_text(text)
    return file


def listing(folder: Path, domains: int) -> Path:
    """Write a file of one provider with a domains file."""
    names = "".join(f"d{number:06}.example\n" for number in range(1, domains))
    (folder / f"{domains}.txt").write_text(f"example.com\n{names}")
    file = folder / f"{domains}-listed.toml"
    file.write_text(f'[[provider]]\ndomains_file = "{domains}.txt"{SERVERS}')
    return file


def _pin(pid: int, cpu: int) -> None:
    """Run a process on one CPU; servers and load on different ones cause less noise."""
    os.sched_setaffinity(pid, {sorted(_CPUS)[cpu % len(_CPUS)]})


_CPUS = os.sched_getaffinity(0)


_GUNICORN = (
    *("--workers=1", "--log-level=error", "--no-control-socket"),
    "--bind=127.0.0.1:{port}",
)
_GRANIAN = (
    *("--interface=wsgi", "--factory", "--workers=1", "--blocking-threads=1"),
    *("--no-log", "--port={port}"),
)


class Server:
    """An application under gunicorn or granian, in a process of its own."""

    def __init__(
        self, name: str, target: str, file: Path, under: str = "gunicorn", **env: str
    ) -> None:
        self.name = name
        self.port = free_port()
        self.rates: list[float] = []
        self.seconds = 0.0  # of CPU time, for all responses in the rounds
        self.answers = 0.0
        options = _GUNICORN if under == "gunicorn" else _GRANIAN
        command = [sys.executable, "-m", under]
        command += [option.format(port=self.port) for option in options]
        command.append(target if under == "gunicorn" else target.removesuffix("()"))
        env = {**os.environ, "AUTOCONFIG_FILE": str(file), **env}
        env["PYTHONPATH"] = str(HERE)
        self.process = subprocess.Popen(command, env=env)
        _pin(self.process.pid, 0)

    def __enter__(self) -> Server:
        until = time.monotonic() + 30
        while self.status("example.com") != 200:
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"{self.name} does not answer")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def status(self, domain: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", QUERY + domain)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def spent(self) -> float:
        """Return the CPU time of the server and its workers, in seconds."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        workers = " ".join(file.read_text() for file in children).split()
        ticks = 0
        for pid in (self.process.pid, *workers):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def take_a_round(self, seconds: int) -> None:
        """Apply some seconds of load, and record the results."""
        before = self.spent()
        self.rates.append(self.load(seconds))
        self.seconds += self.spent() - before
        self.answers += self.rates[-1] * seconds

    def load(self, seconds: int) -> float:
        """Return the requests per second under load."""
        url = f"http://127.0.0.1:{self.port}{QUERY}example.com"
        command = ["wrk", "-t1", "-c4", f"-d{seconds}s", url]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"Requests/sec:\s+([\d.]+)", output.stdout)
        if not found or "Non-2xx" in output.stdout:
            raise SystemExit(f"{self.name}: {output.stdout}{output.stderr}")
        return float(found[1])


def automx2(folder: Path) -> Server | None:
    """Return automx2 with the same domain, if it is installed."""
    if importlib.util.find_spec("automx2") is None:
        return None
    conf = folder / "automx2.conf"
    database = f"sqlite:///{folder}/automx2.sqlite"
    conf.write_text(
        f"[automx2]\nloglevel = CRITICAL\nlogfile = {folder}/automx2.log\n"
        f"db_echo = no\ndb_uri = {database}\n"
    )
    server = Server("automx2", "automx2.server:app", conf, AUTOMX2_CONF=str(conf))
    until = time.monotonic() + 30
    while server.status("example.com") == 0 and time.monotonic() < until:
        time.sleep(0.1)
    setup = (
        '{"version": 2, "provider": "Example", "domains": [{"name": "example.com"}],'
        '"servers": ['
        '{"type": "imap", "name": "imap.example.com"},'
        '{"type": "pop", "name": "pop.example.com"},'
        '{"type": "smtp", "name": "smtp.example.com"}]}'
    )
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/initdb/", setup, headers)
    connection.getresponse().read()
    connection.close()
    if server.status("example.com") != 200:
        server.__exit__()
        return None
    return server


def measure(servers: list[Server], rounds: int, seconds: int) -> None:
    for server in servers:
        server.load(1)
    for number in range(rounds):
        order = servers if number % 2 == 0 else servers[::-1]
        for server in order:
            server.take_a_round(seconds)


def report(servers: list[Server], pairs: list[tuple[str, str]]) -> None:
    rates = {server.name: server.rates for server in servers}
    print(f"\n{'':36}{'requests a second':^27}{'processor':>11}")
    print(f"{'':36}{'median':>9}{'min':>9}{'max':>9}{'µs each':>11}")
    for server in servers:
        low, high = min(server.rates), max(server.rates)
        middle = statistics.median(server.rates)
        each = server.seconds / server.answers * 1e6
        print(f"{server.name:36}{middle:9.0f}{low:9.0f}{high:9.0f}{each:11.1f}")
    costs = {server.name: server.seconds / server.answers for server in servers}
    print("\nratios: the rounds' median, their middle half; by the processor's time")
    for one, other in pairs:
        if one in rates and other in rates:
            ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            by_cost = costs[other] / costs[one]
            numbers = f"{middle:5.2f} ({low:.2f} to {high:.2f})  {by_cost:5.2f}"
            print(f"  {numbers}  {one} : {other}")


def loading(folder: Path) -> None:
    """Measure the time to load a large file, and to import the package."""
    print("\ndomains    providers   load in s   memory of a process in MB")
    for domains, providers in (
        (1, 1),
        (100, 1),
        (10_000, 100),
        (100_000, 1),
        (100_000, 1000),
    ):
        file = configuration(folder, domains, providers)
        code = (
            "import resource, sys, time; from flask_autoconfig.service import Service;"
            "start = time.perf_counter(); Service(sys.argv[1]);"
            "print(time.perf_counter() - start,"
            " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        runs = [_numbers(code, str(file)) for _ in range(3)]
        seconds = statistics.median(run[0] for run in runs)
        memory = statistics.median(run[1] for run in runs)
        print(f"{domains:7}{providers:13}{seconds:12.3f}{memory:12.0f}")
    code = (
        "import flask, time; start = time.perf_counter();"
        "from flask_autoconfig import autoconfig; print(time.perf_counter() - start)"
    )
    times = [_numbers(code)[0] for _ in range(9)]
    print(f"\nimport on top of Flask: {statistics.median(times) * 1000:.1f} ms")


def beside_the_least(folder: Path) -> None:
    """Compare time and memory with those of the minimal work."""
    names = folder / "million.txt"
    names.write_text("".join(f"customer-{n:07}.example\n" for n in range(1_000_000)))
    million = folder / "million.toml"
    million.write_text(f'[[provider]]\ndomains_file = "million.txt"{SERVERS}')
    tables = configuration(folder, 20_000, 20_000)
    head = (
        "import sys, time, tomllib; from pathlib import Path;"
        "from flask_autoconfig.config.reading import read;"
        "from flask_autoconfig.tools.warnings import find_warnings;"
        "from flask_autoconfig.service import Service; start = time.perf_counter();"
    )
    tail = (
        "; print(time.perf_counter() - start,"
        " int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6)"
    )
    as_set = "import sys, time; start = time.perf_counter();"
    as_set += "kept = {line.strip() for line in open(sys.argv[1])}"
    least = "tomllib.loads(Path(sys.argv[1]).read_text())"
    validate = "loaded = read(sys.argv[1]);"
    validate += "find_warnings(loaded.providers, origins=loaded.origins)"
    rows: list[tuple[str, list[tuple[str, Path]]]] = [
        (
            "1,000,000 lines: the service : a set of them",
            [(head + "kept = Service(sys.argv[1])", million), (as_set, names)],
        ),
        (
            "20,000 [[provider]]: reading : tomllib",
            [(head + "read(sys.argv[1])", tables), (head + least, tables)],
        ),
        (
            "20,000 [[provider]]: validate : tomllib",
            [(head + validate, tables), (head + least, tables)],
        ),
    ]
    print(f"\n{'ours, the least, ratio':46}{'seconds':>24}{'MB':>21}")
    for name, codes in rows:
        runs = [
            [_numbers(code + tail, str(size)) for code, size in codes] for _ in range(5)
        ]
        text = f"{name:46}"
        for number in range(2 if codes[0][1] == million else 1):
            ours, other = (
                statistics.median(run[place][number] for run in runs)
                for place in range(2)
            )
            text += f"{ours:9.2f}{other:8.2f}{ours / other:7.2f}"
        print(text)


def before_a_site(stack: ExitStack, folder: Path, rounds: int, seconds: int) -> None:
    """Compare the middleware around a bare function with the function alone."""
    file = configuration(folder, 1)
    unders = ["gunicorn"]
    unders += ["granian"] if importlib.util.find_spec("granian") else []
    kinds = {
        "bare function": "apps:function()",
        "bare function, our headers": "apps:function_with_headers()",
        "middleware": "apps:middleware()",
    }
    with stack:
        servers = [
            stack.enter_context(Server(f"{kind}, {under}", target, file, under))
            for under in unders
            for kind, target in kinds.items()
        ]
        _pin(0, 1)
        measure(servers, rounds, seconds)
        pairs = [
            (f"middleware, {under}", f"{kind}, {under}")
            for under in unders
            for kind in list(kinds)[:2]
        ]
        report(servers, [*pairs, ("middleware, granian", "middleware, gunicorn")])
    if len(unders) == 1:
        print("(granian is not installed: pip install granian to compare with it)")


def passing(folder: Path) -> None:
    """Measure the overhead of the middleware for other paths, in this process."""
    from flask_autoconfig import AutoconfigMiddleware

    def site(_environ: object, _start_response: object) -> tuple[bytes, ...]:
        return ()

    door = AutoconfigMiddleware(site, configuration(folder, 1))
    environ = {"PATH_INFO": "/shop/item/1", "REQUEST_METHOD": "GET"}
    times: dict[str, list[float]] = {"site": [], "door": []}
    names = {"site": site, "door": door, "environ": environ}
    for _ in range(15):
        for name, kept in times.items():
            call = f"{name}(environ, None)"
            kept.append(timeit.timeit(call, number=100_000, globals=names) * 10)
    alone, behind = map(statistics.median, times.values())
    print(f"\na request that is not ours: {behind - alone:.2f} microseconds more")


def reloading(server: Server, file: Path, what: str) -> None:
    """Measure the slowest request while the file is reloaded."""
    waits = []
    until = time.monotonic() + 6
    file.write_text(file.read_text() + "\n# edited\n")
    while time.monotonic() < until:
        start = time.perf_counter()
        server.status("example.com")
        waits.append((time.perf_counter() - start) * 1000)
    waits.sort()
    print(
        f"\nreload of {what} under load: slowest request {waits[-1]:.1f} ms,"
        f" 99th percentile {waits[len(waits) * 99 // 100]:.1f} ms,"
        f" median {statistics.median(waits):.1f} ms"
    )


def _numbers(code: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", code, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(word) for word in output.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="a round's length")
    parser.add_argument(
        "--quick", action="store_true", help="measure the middleware alone"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        before_a_site(stack, Path(name), options.rounds, options.seconds)
        passing(Path(name))
    if options.quick:
        return
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        one = configuration(folder, 1)
        many = configuration(folder, 100_000, 1000)
        sizes = {s: configuration(folder, s, max(1, s // 100)) for s in (100, 10_000)}
        servers = [
            Server("bare Flask view", "apps:view()", one),
            Server("blueprint", "apps:blueprint()", one),
            Server("blueprint, 100,000 domains", "apps:blueprint()", many),
            Server("bare WSGI function", "apps:function()", one),
            Server("standalone", "apps:standalone()", one),
            Server("standalone, 100,000 domains", "apps:standalone()", many),
            Server(
                "standalone, domains_file",
                "apps:standalone()",
                listing(folder, 100_000),
            ),
            *(
                Server(f"standalone, {size:,} domains", "apps:standalone()", file)
                for size, file in sizes.items()
            ),
        ]
        other = automx2(folder)
        servers += [other] if other else []
        for server in servers:
            stack.enter_context(server)
        _pin(0, 1)
        measure(servers, options.rounds, options.seconds)
        report(
            servers,
            [
                ("blueprint", "bare Flask view"),
                ("standalone", "bare WSGI function"),
                ("blueprint, 100,000 domains", "blueprint"),
                ("standalone, 100 domains", "standalone"),
                ("standalone, 10,000 domains", "standalone"),
                ("standalone, 100,000 domains", "standalone"),
                ("standalone, domains_file", "standalone"),
                ("blueprint", "automx2"),
                ("standalone", "automx2"),
            ],
        )
        if other is None:
            print("(automx2 is not installed: pip install automx2 to compare with it)")
        large = servers[[s.name for s in servers].index("standalone, 100,000 domains")]
        reloading(large, many, "100,000 domains in 1,000 tables")
        listed = servers[[s.name for s in servers].index("standalone, domains_file")]
        reloading(listed, folder / "100000.txt", "a domains_file of 100,000 lines")
        loading(folder)
        beside_the_least(folder)


if __name__ == "__main__":
    main()
