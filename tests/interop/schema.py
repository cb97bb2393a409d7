#!/usr/bin/env python3
"""Runs schemathesis over /openapi.json of `tidings serve`: what the document says must be so.

    python3 tests/interop/schema.py --binary target/debug/tidings --schemathesis .../bin/schemathesis

One check of schemathesis is left out, that whatever a schema allows is accepted: a schema cannot say what a prepared
name or an XML payload is. The last line is `N passed, N failed`; with a failure the exit code is 1.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from run import HERE, Checks, Failed, Server

RUN_SECONDS = 1200
EXAMPLES = 15


def examine(server, token, options, folder):
    words = [
        options.schemathesis, "run", f"http://{server.addresses['http']}/openapi.json", "--no-color",
        "--header", f"Authorization: Bearer {token.text}", "--max-examples", str(EXAMPLES),
        # The same operations, at a service that is named.
        "--exclude-path-regex", "^/v1/services",
        "--exclude-checks", "positive_data_acceptance",
        # A long poll of nothing lasts a minute at most.
        "--request-timeout", "70",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"schemathesis found something:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    return "schemathesis finds nothing"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    parser.add_argument("--schemathesis", default="schemathesis", help="the program")
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        # It tries wrong credentials on purpose, more often than an address may.
        server = Server(options.binary.resolve(), Path(folder), sets=["limits.auth_failures=1000000"])
        try:
            token = server.account("examiner")
            server.start()
            checks.check("openapi.json", lambda: examine(server, token, options, folder))
            checks.check("the server ends on SIGTERM", server.stop)
        except Failed:
            pass
        except Exception as error:
            checks.failed += 1
            print(f"FAILED  {error}", flush=True)
        finally:
            server.kill()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
