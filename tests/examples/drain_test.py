#!/usr/bin/env python3
"""Asks the server that drains to stop, at different moments.

usage: drain_test.py DRAIN
"""
import concurrent.futures
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

PROGRAM = None


class DrainTest(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen([PROGRAM, "--port", "0"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.address = self.server.stdout.readline().split()[-1]

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=60) as response:
            return response.read().decode()

    def wait_for_children(self, count):
        """The fork server and its heir are two of them."""
        children = pathlib.Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        while len(children.read_text().split()) < count:
            time.sleep(0.001)

    def connect(self):
        host, port = self.address.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)))

    def test_clients_that_it_has_are_answered_and_others_refused(self):
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            slow = [clients.submit(self.get, "/slow?ms=1000") for _ in range(8)]
            self.wait_for_children(10)
            self.server.send_signal(signal.SIGTERM)
            self.assertEqual(self.server.stdout.readline(), "draining 8 clients\n")
            with self.assertRaises(ConnectionRefusedError):
                self.connect()
            self.assertEqual([each.result() for each in slow], ["1000 ms\n"] * 8)
        self.assertEqual(self.server.wait(timeout=20), 0)

    def test_without_clients_it_ends_at_once(self):
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(self.server.wait(timeout=20), 0)

    def test_a_second_signal_does_not_wait_for_clients(self):
        with self.connect() as client:
            client.sendall(b"GET /slow?ms=20000 HTTP/1.1\r\n\r\n")
            self.wait_for_children(3)
            self.server.send_signal(signal.SIGTERM)
            self.assertEqual(self.server.stdout.readline(), "draining 1 clients\n")
            self.server.send_signal(signal.SIGTERM)
            self.assertEqual(self.server.wait(timeout=20), 128 + signal.SIGTERM)

    def test_a_hang_up_is_an_event(self):
        self.assertEqual(self.get("/"), "configuration 1\n")
        self.server.send_signal(signal.SIGHUP)
        while self.get("/") != "configuration 2\n":
            pass


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(argv=["drain_test.py", "-v"])
