#!/usr/bin/env python3
"""Asks the HTTP server, many clients at a time, and ends it.

usage: embedded_loop_test.py EMBEDDED_LOOP
"""
import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

PROGRAM = None
PRIMES = {10: 4, 100: 25, 1000: 168, 100_000: 9592, 1_000_000: 78498}


class EmbeddedLoopTest(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen([PROGRAM, "--port", "0"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.address = self.server.stdout.readline().split()[-1]

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=60) as response:
            return response.read().decode()

    def test_answers_many_clients_at_a_time(self):
        paths = [f"/primes?n={n}" for n in PRIMES] * 20
        with concurrent.futures.ThreadPoolExecutor(20) as clients:
            answers = list(clients.map(self.get, paths))
        self.assertEqual(answers, [f"{count}\n" for count in PRIMES.values()] * 20)

    def test_goes_on_serving_while_a_worker_computes(self):
        with concurrent.futures.ThreadPoolExecutor(1) as client:
            long = client.submit(self.get, "/primes?n=30000000")
            served = 0
            while not long.done():
                self.assertEqual(self.get("/health"), "well\n")
                served += 1
            self.assertEqual(long.result(), "1857859\n")
        self.assertGreater(served, 5)

    def test_what_is_not_there_is_said_to_be_not_there(self):
        for path in "/", "/primes?n=", "/primes?n=1x", "/primes?n=99999999999":
            with self.assertRaises(urllib.error.HTTPError) as raised:
                self.get(path)
            self.assertEqual(raised.exception.code, 404)
            raised.exception.close()

    def test_a_client_that_leaves_costs_nobody_anything(self):
        host, port = self.address.removeprefix("http://").split(":")
        for _ in range(20):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /primes?n=1000000 HTTP/1.1\r\n\r\n")
        self.assertEqual(self.get("/primes?n=1000"), "168\n")

    def children(self):
        return pathlib.Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()

    def test_a_signal_lets_it_answer_first(self):
        with concurrent.futures.ThreadPoolExecutor(1) as client:
            long = client.submit(self.get, "/primes?n=30000000")
            busy = lambda pid: int(pathlib.Path(f"/proc/{pid}/stat").read_text().split()[13]) > 2
            while not any(map(busy, self.children())):
                time.sleep(0.001)
            self.server.send_signal(signal.SIGTERM)
            self.assertEqual(long.result(), "1857859\n")
        self.assertEqual(self.server.wait(timeout=20), 0)

    def test_a_signal_ends_it_and_leaves_nothing(self):
        self.assertEqual(self.get("/primes?n=10"), "4\n")
        children = self.children()
        self.assertTrue(children)  # the fork server and its heir, and the workers
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(timeout=20), 0)
        deadline = time.monotonic() + 2
        while (left := [pid for pid in children if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(left, [])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(argv=["embedded_loop_test.py", "-v"])
