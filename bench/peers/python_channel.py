"""Python's queues and pipes between processes, and its pickle."""

import argparse
import dataclasses
import json
import multiprocessing
import pickle
import struct
import time

CONTEXT = multiprocessing.get_context("fork")
NUMBER = struct.Struct("q")


def messages_of(size: int) -> list[bytes]:
    """Sixteen messages, made beforehand: making a large one would cost more than sending it."""
    return [NUMBER.pack(number) + bytes(size - NUMBER.size) for number in range(16)]


class QueueChannel:
    def __init__(self, kind: str):
        self.queue = {"queue": lambda: CONTEXT.Queue(1024), "simple-queue": CONTEXT.SimpleQueue,
                      "joinable-queue": lambda: CONTEXT.JoinableQueue(1024)}[kind]()
        self.put, self.get = self.queue.put, self.queue.get
        self.done = self.queue.task_done if kind == "joinable-queue" else lambda: None


class PipeChannel:
    def __init__(self):
        self.receiver, self.sender = CONTEXT.Pipe(duplex=False)
        self.put, self.get = self.sender.send_bytes, self.receiver.recv_bytes
        self.done = lambda: None


def share_of(index: int, sides: int, count: int) -> int:
    return count // sides + (1 if index < count % sides else 0)


def produce(channel, size: int, share: int, ready, go) -> None:
    messages = messages_of(size)
    ready.release()
    go.wait()
    for number in range(share):
        channel.put(messages[number % 16])


def consume(channel, size: int, share: int, ordered: bool, ready, go) -> None:
    ready.release()
    go.wait()
    for number in range(share):
        message = channel.get()
        channel.done()
        assert len(message) == size, "size of a message"
        assert not ordered or NUMBER.unpack_from(message)[0] == number % 16, "order of messages"


def race(channel, size: int, producers: int, consumers: int, count: int) -> float:
    """Messages a second, as bench::race."""
    ready, go = CONTEXT.Semaphore(0), CONTEXT.Event()
    ordered = producers == 1 and consumers == 1
    runners = [CONTEXT.Process(target=consume, args=(channel, size, share_of(i, consumers, count), ordered, ready, go))
               for i in range(consumers)]
    runners += [CONTEXT.Process(target=produce, args=(channel, size, share_of(i, producers, count), ready, go))
                for i in range(producers)]
    for runner in runners:
        runner.start()
    for _ in runners:
        ready.acquire()
    begin = time.monotonic()
    go.set()
    for runner in runners:
        runner.join()
        assert runner.exitcode == 0, f"a producer or consumer ended with {runner.exitcode}"
    return count / (time.monotonic() - begin)


def echo(connection, count: int) -> None:
    for _ in range(count):
        connection.send_bytes(connection.recv_bytes())


def round_trip(size: int, count: int) -> float:
    """Microseconds there and back through a duplex Pipe."""
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=echo, args=(theirs, count))
    child.start()
    messages = messages_of(size)
    begin = time.monotonic()
    for number in range(count):
        message = messages[number % 16]
        ours.send_bytes(message)
        assert ours.recv_bytes() == message, "the echo"
    elapsed = time.monotonic() - begin
    child.join()
    assert child.exitcode == 0
    return elapsed / count * 1e6


@dataclasses.dataclass
class Record:
    """The struct of codec_bench.cpp."""

    id: int
    name: str
    position: tuple[float, float, float]
    tags: list[str]
    counts: list[int]


def pickled_struct(count: int) -> float:
    """Nanoseconds to encode and decode one record."""
    record = Record(42, "a name that is long enough", (1.0, 2.0, 3.0), ["red", "green", "blue"], list(range(16)))
    begin = time.monotonic()
    for _ in range(count):
        copy = pickle.loads(pickle.dumps(record, pickle.HIGHEST_PROTOCOL))
    elapsed = time.monotonic() - begin
    assert copy == record
    return elapsed / count * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["queue", "simple-queue", "joinable-queue", "pipe", "round-trip", "pickle"])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--gigabytes", action="store_true")
    args = parser.parse_args()

    if args.what == "round-trip":
        value = round_trip(args.size, args.count)
    elif args.what == "pickle":
        value = pickled_struct(args.count)
    else:
        channel = PipeChannel() if args.what == "pipe" else QueueChannel(args.what)
        value = race(channel, args.size, args.producers, args.consumers, args.count)
        if args.gigabytes:
            value *= args.size * 1e-9
    print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
