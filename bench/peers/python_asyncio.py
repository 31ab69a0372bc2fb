"""Python's asyncio: subprocesses of a program, their rate and what they do to the loop."""

import argparse
import asyncio
import json
import selectors
import statistics
import time


class MeasuredSelector(selectors.DefaultSelector):
    """Notes how long the loop was busy between two looks at its events, in seconds."""

    def __init__(self):
        super().__init__()
        self.busy = []
        self.looked = None

    def select(self, timeout=None):
        if self.looked is not None:
            self.busy.append(time.monotonic() - self.looked)
        events = super().select(timeout)
        self.looked = time.monotonic()
        return events


async def run_one(program: str) -> None:
    process = await asyncio.create_subprocess_exec(program)
    status = await process.wait()
    assert status == 0, f"a child ended with {status}"


async def run_all(program: str, count: int, in_flight: int) -> float:
    """Seconds for `count` programs with at most `in_flight` alive."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await run_one(program)

    await run_one(program)
    begin = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(min(in_flight, count))))
    return time.monotonic() - begin


async def switch_cost(count: int) -> float:
    """Nanoseconds from one task to the next of two that yield to each other."""

    async def yielding() -> None:
        for _ in range(count // 2):
            await asyncio.sleep(0)

    begin = time.process_time()
    await asyncio.gather(yielding(), yielding())
    return (time.process_time() - begin) / count * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rate", "stall", "switch"])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--heap-mib", type=int, default=0)
    parser.add_argument("--program", default="/bin/true")
    args = parser.parse_args()

    heap = bytearray(b"\x01") * (args.heap_mib << 20)
    # The watcher that asyncio itself takes from 3.12 on; the older default starts a thread for each child.
    if hasattr(asyncio, "PidfdChildWatcher") and args.what != "switch":
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    selector = MeasuredSelector() if args.what == "stall" else selectors.DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    asyncio.set_event_loop(loop)
    if hasattr(asyncio, "PidfdChildWatcher") and args.what != "switch":
        asyncio.get_child_watcher().attach_loop(loop)

    if args.what == "rate":
        value = args.count / loop.run_until_complete(run_all(args.program, args.count, args.in_flight))
    elif args.what == "stall":
        loop.run_until_complete(run_all(args.program, args.count, args.in_flight))
        value = statistics.quantiles(selector.busy, n=100)[98] * 1e3
    else:
        value = loop.run_until_complete(switch_cost(args.count))
    del heap
    loop.close()
    print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
