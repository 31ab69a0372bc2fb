"""What is measured: every benchmark with its contestants, as plain data for run.py.

A contestant is a command that prints one line of JSON on its standard output, {"value": x}, or {"<id>": x, ...} if it
measures several ids at once; a program of Google Benchmark prints its own JSON, in which each benchmark is named after
the id. `{n}` in a command is the size of the run, of which there are two, for --quick and for a full run.

Every contestant checks its results (exit statuses, contents and order of messages) and fails rather than print the
figure of a wrong run. Contestants of one benchmark do the same work, with the same number in flight, unless their name
says otherwise.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    command: str  # the first word is a program in the build folder, or a script in bench/peers
    n: tuple[int, int] = (0, 0)  # {n} in the command: (quick, full)
    timeout: int = 60  # seconds for one run
    rounds: int = 1000  # at most so many rounds, for those that take long
    key: str = ""  # the name of the value in the output, if it is neither "value" nor the id


@dataclass(frozen=True)
class Benchmark:
    id: str
    unit: str
    better: str  # "higher" or "lower"
    brood: Contestant
    peers: dict[str, Contestant] = field(default_factory=dict)
    limit: dict[str, Contestant] = field(default_factory=dict)


# How many children are alive at once where starts overlap. More do not help anybody: two cores are busy with two.
FUNCTIONS = "--in-flight 64"
PROGRAMS = "--in-flight 8"
HEAP = "--heap-mib 1024"


def c(command: str, quick: int = 0, full: int = 0, **more) -> Contestant:
    return Contestant(command, (quick, full), **more)


# --- Processes -------------------------------------------------------------------------------------------------------
#
# The limit of a child that runs a function is a bare `fork` of an empty parent, `_exit` in the child and `waitpid`: the
# kernel's work and nothing else, one at a time or overlapped. "fork on every core" forks from as many processes as there
# are cores, and shows what the machine can do at most.
#
# The limit of /bin/true is likewise `posix_spawn` (of glibc: vfork and execve) on every core at once: with one parent
# only, that parent waits in each vfork until the child has reached its execve. "static program" starts one that the
# dynamic linker has nothing to do with: the rest of the cost is the program's, whoever starts it.
SPAWN = [
    Benchmark(
        "spawn.function.sequential", "1/s", "higher",
        brood=c("spawn_bench function --count {n}", 500, 5000),
        peers={
            "Python fork": c("python_process.py rate --method fork --count {n}", 100, 1000),
            "Python forkserver": c("python_process.py rate --method forkserver --count {n}", 20, 200),
            "Python spawn": c("python_process.py rate --method spawn --count {n}", 10, 100),
        },
        limit={"fork": c("bare_spawn fork --count {n}", 500, 5000)},
    ),
    Benchmark(
        "spawn.function.concurrent", "1/s", "higher",
        brood=c(f"spawn_bench function --count {{n}} {FUNCTIONS}", 1000, 10000),
        peers={
            "Python fork": c(f"python_process.py rate --method fork --count {{n}} {FUNCTIONS}", 200, 2000),
            "Python forkserver": c(f"python_process.py rate --method forkserver --count {{n}} {FUNCTIONS}", 70, 400),
            "Python spawn": c(f"python_process.py rate --method spawn --count {{n}} {FUNCTIONS}", 20, 200),
        },
        limit={
            "fork": c(f"bare_spawn fork --count {{n}} {FUNCTIONS}", 1000, 10000),
            "fork on every core": c(f"bare_spawn fork --every-core --count {{n}} {FUNCTIONS}", 1000, 10000),
        },
    ),
    Benchmark(
        "spawn.function.heap_1gib", "1/s", "higher",
        brood=c(f"spawn_bench function --count {{n}} {FUNCTIONS} {HEAP}", 1000, 10000),
        peers={
            "fork with the heap": c(f"bare_spawn fork --count {{n}} {FUNCTIONS} {HEAP}", 30, 200),
            "Python fork": c(f"python_process.py rate --method fork --count {{n}} {FUNCTIONS} {HEAP}", 20, 200),
            "Python forkserver":
                c(f"python_process.py rate --method forkserver --count {{n}} {FUNCTIONS} {HEAP}", 70, 400),
            "Python spawn": c(f"python_process.py rate --method spawn --count {{n}} {FUNCTIONS} {HEAP}", 20, 200),
        },
        limit={"fork without the heap": c(f"bare_spawn fork --count {{n}} {FUNCTIONS}", 1000, 10000)},
    ),
    Benchmark(
        "spawn.program", "1/s", "higher",
        brood=c(f"spawn_bench program --count {{n}} {PROGRAMS}", 500, 5000),
        peers={
            "posix_spawn": c(f"bare_spawn posix-spawn --count {{n}} {PROGRAMS}", 500, 5000),
            "posix_spawn, one at a time": c("bare_spawn posix-spawn --count {n}", 500, 3000),
            "uv_spawn": c(f"uv_spawn rate --count {{n}} {PROGRAMS}", 300, 3000),
            "Boost.Process": c(f"boost_process --count {{n}} {PROGRAMS}", 300, 3000),
            "asyncio": c(f"python_asyncio.py rate --count {{n}} {PROGRAMS}", 300, 3000),
            "asyncio, one at a time": c("python_asyncio.py rate --count {n}", 300, 2000),
            "node": c(f"node_spawn.js --count {{n}} {PROGRAMS}", 300, 2000),
        },
        limit={
            "posix_spawn on every core": c(f"bare_spawn posix-spawn --every-core --count {{n}} {PROGRAMS}", 500, 5000),
            "the same, static program":
                c(f"bare_spawn posix-spawn --every-core --count {{n}} {PROGRAMS} --program {{build}}/tiny_program",
                  500, 5000),
        },
    ),
    Benchmark(
        "spawn.program.heap_1gib", "1/s", "higher",
        brood=c(f"spawn_bench program --count {{n}} {PROGRAMS} {HEAP}", 500, 5000),
        peers={
            "posix_spawn": c(f"bare_spawn posix-spawn --count {{n}} {PROGRAMS} {HEAP}", 500, 5000),
            "uv_spawn": c(f"uv_spawn rate --count {{n}} {PROGRAMS} {HEAP}", 20, 200),
            "Boost.Process": c(f"boost_process --count {{n}} {PROGRAMS} {HEAP}", 20, 200),
            "asyncio": c(f"python_asyncio.py rate --count {{n}} {PROGRAMS} {HEAP}", 300, 3000),
            "node": c(f"node_spawn.js --count {{n}} {PROGRAMS} {HEAP}", 20, 200),
        },
        limit={
            "posix_spawn on every core, without the heap":
                c(f"bare_spawn posix-spawn --every-core --count {{n}} {PROGRAMS}", 500, 5000),
        },
    ),
]

# A list of commands by the example `many`, eight at a time; the limit is that of programs above. Counted from the start of
# the runner, so a short list is dominated by that: 5 ms for ours, 200 for GNU parallel.
LISTS = [
    Benchmark(
        "lists.bin_true", "1/s", "higher",
        brood=c("list_runner.py {build}/../examples/many --count {n} --jobs 8", 1000, 5000),
        peers={
            "xargs -P": c("list_runner.py xargs --count {n} --jobs 8", 1000, 5000),
            "GNU parallel": c("list_runner.py parallel --count {n} --jobs 8", 300, 2000, rounds=3),
        },
        limit={"posix_spawn on every core": c(f"bare_spawn posix-spawn --every-core --count {{n}} {PROGRAMS}", 500, 5000)},
    ),
]

# `children.memory` says what it counts at `memory_in_use_kib` in measure.hpp. The exit cost is the parent's CPU time from
# the death of a child to its status, the median of `--exits` of them. Python cannot follow to 10,000: each of its forks
# takes 1.6 MiB, and each start polls all children alive (it was not ready after five minutes).
CHILDREN = [
    Benchmark(
        "children.live_10000", "s", "lower",
        brood=c("spawn_bench live --count 10000", timeout=120),
        peers={"uv_spawn": c("uv_spawn live --count 10000 --program {build}/tiny_program", timeout=120)},
        limit={"fork": c("bare_spawn live --count 10000", timeout=120)},
    ),
    Benchmark(
        "children.memory", "KiB", "lower",
        brood=c("spawn_bench memory --count {n}", 2000, 10000, timeout=120),
        peers={
            "Python fork": c("python_process.py memory --method fork --count {n}", 300, 1000),
            "Python forkserver": c("python_process.py memory --method forkserver --count {n}", 50, 300, rounds=3),
            "Python spawn": c("python_process.py memory --method spawn --count {n}", 30, 200, rounds=3),
        },
        limit={"fork": c("bare_spawn memory --count {n}", 2000, 10000, timeout=120)},
    ),
    Benchmark(
        "children.exit_cost_ratio", "ratio", "lower",
        brood=c("spawn_bench exit-cost-ratio --count 10000 --exits {n}", 300, 500, timeout=120),
        peers={
            "waitpid(-1)": c("bare_spawn exit-cost-ratio --count 10000 --exits {n}", 100, 300, timeout=120),
            "uv_spawn": c("uv_spawn exit-cost-ratio --count 10000 --exits {n} --program {build}/tiny_program",
                          20, 50, timeout=120, rounds=3),
            "Python fork, 1,000 for the 10,000": c("python_process.py exit-cost-ratio --count 1000 --exits {n}",
                                                   10, 20, rounds=3),
        },
        limit={"pidfd": c("bare_spawn exit-cost-ratio --pidfd --count 10000 --exits {n}", 300, 500, timeout=120)},
    ),
]

# The loop is stalled while it is away from its events: the length of a turn without the sleep in it. The limit is a loop
# that only looks on, with a timer each millisecond, while another process forks as many children on the same cores.
#
# A switch is the CPU time from one task to another that yields in turn, through the queue of what is ready; its limit a
# bare resumption, without a queue.
LOOP = [
    Benchmark(
        "loop.stall_p99", "ms", "lower",
        brood=c(f"spawn_bench stall --count 5000 {FUNCTIONS}"),
        peers={
            "uv_spawn": c(f"uv_spawn stall --count {{n}} {FUNCTIONS}", 1000, 5000),
            "asyncio": c(f"python_asyncio.py stall --count {{n}} {FUNCTIONS}", 1000, 5000),
        },
        limit={"looking on": c(f"uv_spawn stall --elsewhere --count 5000 {FUNCTIONS}")},
    ),
    Benchmark(
        "task.switch", "ns", "lower",
        brood=c("micro_bench --benchmark_format=json"),
        peers={
            "Boost.Asio": c("asio_switch --count {n}", 200_000, 2_000_000),
            "asyncio": c("python_asyncio.py switch --count {n}", 100_000, 500_000),
        },
        limit={
            "coroutine_handle::resume": c("micro_bench --benchmark_format=json",
                                          key="task.switch/resume"),
        },
    ),
    # Within one process: a turn at a mutex, an item, a value, an operation; beside into a coroutine and out again.
    *(Benchmark(
        name, "ns", "lower",
        brood=c("micro_bench --benchmark_format=json"),
        limit={
            "coroutine_handle::resume": c("micro_bench --benchmark_format=json",
                                          key="task.switch/resume"),
        },
    ) for name in ("async_mutex.uncontended", "channel.1p1c", "oneshot", "when_all.1000")),
]

# --- Messages --------------------------------------------------------------------------------------------------------
#
# `1p4c`: one producer, four consumers, each a process of its own; from the common start to the end of the last. Messages
# carry their number, and what arrives is checked. 1 GB is 10^9 bytes.
#
# The limit is a lock-free ring in shared memory whose ends sleep on a futex; for one producer and one consumer also one
# with both ends spinning, each on a core of its own, which shows its speed only where nothing else wants those cores. Copying cannot be faster than `memcpy` within the
# cache; waking each other not than two eventfds, or, if neither ever sleeps, than a ring.


def messages(size: int, producers: int, consumers: int) -> str:
    return f"--count {{n}} --size {size} --producers {producers} --consumers {consumers}"


def queue_of_small(id_: str, size: int, producers: int, consumers: int) -> Benchmark:
    how = messages(size, producers, consumers)
    peers = {
        "Boost message_queue": c(f"boost_message_queue {how}", 200_000, 2_000_000),
        "Python Queue": c(f"python_channel.py queue {how}", 20_000, 200_000),
        "Python SimpleQueue": c(f"python_channel.py simple-queue {how}", 20_000, 200_000),
        "Python JoinableQueue": c(f"python_channel.py joinable-queue {how}", 20_000, 200_000),
        "pipe": c(f"bare_channel pipe {how}", 200_000, 2_000_000),
    }
    limit = {"ring, sleeping": c(f"bare_channel sleeping-ring --patience 10 {how}", 500_000, 5_000_000)}
    if producers == consumers == 1:
        peers["Python Pipe"] = c(f"python_channel.py pipe {how}", 20_000, 200_000)
        peers["socket pair"] = c(f"bare_channel socketpair {how}", 100_000, 1_000_000)
        limit["ring, spinning"] = c(f"bare_channel ring {how}", 2_000_000, 20_000_000)
    return Benchmark(id_, "1/s", "higher", brood=c(f"queue_bench copy {how}", 500_000, 5_000_000), peers=peers,
                     limit=limit)


def queue_of_1000_consumers() -> Benchmark:
    how = messages(64, 1, 1000)
    return Benchmark(
        "queue.64B.1p1000c", "1/s", "higher",
        brood=c(f"queue_bench copy {how}", 100_000, 1_000_000),
        peers={
            "Boost message_queue": c(f"boost_message_queue {how}", 50_000, 200_000),
            "Python SimpleQueue": c(f"python_channel.py simple-queue {how}", 10_000, 50_000, rounds=3),
            "pipe": c(f"bare_channel pipe {how}", 100_000, 1_000_000),
        },
        limit={"ring, sleeping": c(f"bare_channel sleeping-ring {how}", 100_000, 1_000_000)},
    )


MIB = messages(1 << 20, 1, 1) + " --gigabytes"
QUEUE = [
    queue_of_small("queue.64B.1p1c", 64, 1, 1),
    queue_of_small("queue.64B.4p4c", 64, 4, 4),
    queue_of_1000_consumers(),
    queue_of_small("queue.1KiB.1p1c", 1024, 1, 1),
    Benchmark(
        "queue.1MiB.1p1c", "GB/s", "higher",
        brood=c(f"queue_bench copy {MIB}", 2000, 20_000),
        peers={
            "Boost message_queue": c(f"boost_message_queue {MIB}", 2000, 20_000),
            "Python Queue": c(f"python_channel.py queue {MIB}", 200, 2000),
            "Python SimpleQueue": c(f"python_channel.py simple-queue {MIB}", 200, 2000),
            "pipe": c(f"bare_channel pipe {MIB}", 1000, 5000),
            "socket pair": c(f"bare_channel socketpair {MIB}", 1000, 5000),
        },
        limit={
            "memcpy": c("bare_channel memcpy --count {n} --size 1048576 --gigabytes", 3000, 20_000),
            "ring, sleeping": c(f"bare_channel sleeping-ring --patience 10 {MIB}", 2000, 20_000),
            "ring, spinning": c(f"bare_channel ring {MIB}", 2000, 20_000),
        },
    ),
    Benchmark(
        # Gigabytes that change hands a second: the sides touch only the first and the last word of each buffer.
        "queue.1MiB.zero_copy", "GB/s", "higher",
        brood=c("queue_bench zero-copy --count {n} --size 1048576 --gigabytes", 100_000, 1_000_000),
        peers={"Boost message_queue, copying": c(f"boost_message_queue {MIB}", 2000, 20_000)},
        limit={
            "memcpy": c("bare_channel memcpy --count {n} --size 1048576 --gigabytes", 3000, 20_000),
            "ring of buffers": c("bare_channel zero-copy --count {n} --size 1048576 --gigabytes", 500_000, 5_000_000),
        },
    ),
]

PIPE = [
    Benchmark(
        "pipe.64B.round_trip", "us", "lower",
        brood=c("pipe_bench round-trip --count {n} --size 64", 10_000, 100_000),
        peers={
            "socket pair": c("bare_channel socketpair-round-trip --count {n} --size 64", 10_000, 100_000),
            "pipe": c("bare_channel pipe-round-trip --count {n} --size 64", 10_000, 100_000),
            "Python Pipe": c("python_channel.py round-trip --count {n} --size 64", 5000, 50_000),
        },
        limit={
            "eventfd": c("bare_channel eventfd-round-trip --count {n}", 10_000, 100_000),
            "ring, spinning": c("bare_channel ring-round-trip --count {n} --size 64", 20_000, 1_000_000),
        },
    ),
    Benchmark(
        "pipe.1MiB", "GB/s", "higher",
        brood=c("pipe_bench stream --count {n} --size 1048576", 2000, 20_000),
        peers={
            "Python Pipe": c(f"python_channel.py pipe {MIB}", 200, 2000),
            "pipe": c(f"bare_channel pipe {MIB}", 1000, 5000),
            "socket pair": c(f"bare_channel socketpair {MIB}", 1000, 5000),
        },
        limit={"memcpy": c("bare_channel memcpy --count {n} --size 1048576 --gigabytes", 3000, 20_000)},
    ),
]

# To bytes and back, one struct with a string, a vector of strings and a vector of numbers. Copying the struct is the limit
# of decoding, which must allocate the same, `memcpy` of its bytes the limit of moving them.
CODEC = [
    Benchmark(
        "codec.struct", "ns", "lower",
        brood=c("codec_bench --benchmark_format=json"),
        peers={
            "cereal": c("codec_bench --benchmark_format=json", key="codec.struct/cereal"),
            "Python pickle": c("python_channel.py pickle --count {n}", 20_000, 200_000),
        },
        limit={
            "copy of the struct": c("codec_bench --benchmark_format=json",
                                    key="codec.struct/copy"),
            "memcpy": c("codec_bench --benchmark_format=json", key="codec.struct/memcpy"),
        },
    ),
]

# A dict in a server process. A call cannot be faster than a round trip over a socket pair with nothing done in between;
# many at a time not than messages through one.
SOCKET_TRIP = {"socket pair": c("bare_channel socketpair-round-trip --count {n} --size 64", 10_000, 100_000)}
SOCKET_RATE = {"socket pair": c("bare_channel socketpair --count {n} --size 64 --producers 1 --consumers 1",
                                100_000, 1_000_000)}
MANAGER = [
    Benchmark(
        "manager.dict.get", "us", "lower",
        brood=c("manager_bench get --count {n}", 10_000, 100_000),
        peers={"Python Manager": c("python_manager.py get --count {n}", 3000, 30_000)},
        limit=SOCKET_TRIP,
    ),
    Benchmark(
        "manager.dict.set", "us", "lower",
        brood=c("manager_bench set --count {n}", 10_000, 100_000),
        peers={"Python Manager": c("python_manager.py set --count {n}", 3000, 30_000)},
        limit=SOCKET_TRIP,
    ),
    Benchmark(
        "manager.dict.pipelined", "1/s", "higher",
        brood=c("manager_bench pipelined --count {n}", 200_000, 2_000_000),
        peers={"Python Manager, 100 clients": c("python_manager.py clients --count {n}", 5000, 50_000, rounds=3)},
        limit=SOCKET_RATE,
    ),
    Benchmark(
        "manager.100_clients", "1/s", "higher",
        brood=c("manager_bench clients --count {n}", 20_000, 200_000),
        peers={"Python Manager": c("python_manager.py clients --count {n}", 5000, 50_000, rounds=3)},
        limit=SOCKET_RATE,
    ),
]

# --- Synchronisation -------------------------------------------------------------------------------------------------
#
# Uncontended: to take and to give back, in one process. Contended: four processes that do nothing else count up under one
# lock, and the sum is checked. A hand-over is the time from the release, with 1,000 processes in the line, to the last of
# them, for each. Robust mutexes notice the death of their owner, as ours do; Boost's and Python's do not.
#
# Nobody sleeps less than a futex does: the limit of whatever makes two processes wake each other in turn.
SYNC = [
    Benchmark(
        "lock.uncontended", "ns", "lower",
        brood=c("sync_bench lock --count {n}", 1_000_000, 10_000_000),
        peers={
            "Boost interprocess_mutex": c("boost_sync mutex --count {n}", 1_000_000, 10_000_000),
            "Python Lock": c("python_sync.py lock --count {n}", 200_000, 1_000_000),
        },
        limit={"robust pthread mutex": c("bare_sync mutex --count {n}", 1_000_000, 10_000_000)},
    ),
    Benchmark(
        "lock.4p.contended", "1/s", "higher",
        brood=c("sync_bench contended --processes 4 --count {n}", 500_000, 5_000_000),
        peers={
            "Boost interprocess_mutex": c("boost_sync contended --processes 4 --count {n}", 500_000, 5_000_000),
            "Python Lock": c("python_sync.py contended --processes 4 --count {n}", 100_000, 500_000),
        },
        limit={"robust pthread mutex": c("bare_sync contended --processes 4 --count {n}", 500_000, 5_000_000)},
    ),
    Benchmark(
        "lock.1000_waiters", "us", "lower",
        brood=c("sync_bench waiters --processes 1000"),
        peers={"Python Lock": c("python_sync.py waiters --processes 1000", rounds=3)},
        limit={"futex, one way": c("bare_sync round-trip --one-way --count {n}", 10_000, 100_000)},
    ),
    Benchmark(
        "event.round_trip", "us", "lower",
        brood=c("sync_bench event --count {n}", 10_000, 100_000),
        peers={"Python Event": c("python_sync.py event --count {n}", 5000, 50_000)},
        limit={"futex": c("bare_sync round-trip --count {n}", 10_000, 100_000)},
    ),
    Benchmark(
        "semaphore.uncontended", "ns", "lower",
        brood=c("sync_bench semaphore --count {n}", 1_000_000, 10_000_000),
        peers={
            "Boost interprocess_semaphore": c("boost_sync semaphore --count {n}", 1_000_000, 10_000_000),
            "Python Semaphore": c("python_sync.py semaphore --count {n}", 200_000, 1_000_000),
        },
        limit={"robust pthread mutex": c("bare_sync mutex --count {n}", 1_000_000, 10_000_000)},
    ),
    Benchmark(
        "condition.round_trip", "us", "lower",
        brood=c("sync_bench condition --count {n}", 10_000, 100_000),
        peers={
            "Boost interprocess_condition": c("boost_sync condition --count {n}", 10_000, 100_000),
            "Python Condition": c("python_sync.py condition --count {n}", 5000, 20_000),
        },
        limit={"futex": c("bare_sync round-trip --count {n}", 10_000, 100_000)},
    ),
    Benchmark(
        "barrier.4p", "us", "lower",
        brood=c("sync_bench barrier --processes 4 --count {n}", 5000, 50_000),
        peers={"Python Barrier": c("python_sync.py barrier --processes 4 --count {n}", 1000, 5000)},
        limit={"futex": c("bare_sync barrier --processes 4 --count {n}", 5000, 50_000)},
    ),
    Benchmark(
        "array.sum", "GB/s", "higher",
        brood=c("sync_bench array --size 67108864 --count {n}", 20, 100),
        peers={"Python RawArray": c("python_sync.py array --size 8388608 --count {n}", 5, 20)},
        limit={"private memory": c("bare_sync sum --size 67108864 --count {n}", 20, 100)},
    ),
]

# Four workers on two cores, tasks that do nothing worth mentioning: what is measured is the pool. The limit is what our own
# queue moves between two processes: a task is a message there and its result one back.
POOL = [
    Benchmark(
        "pool.map.chunk1", "1/s", "higher",
        brood=c("pool_bench map-chunk1 --count {n}", 200_000, 2_000_000),
        peers={
            "Python Pool": c("python_pool.py map-chunk1 --count {n}", 20_000, 200_000),
            "Python executor": c("python_pool.py map-chunk1 --kind executor --count {n}", 5000, 50_000),
        },
        limit={"brood queue, one way": c("queue_bench copy --size 64 --count {n}", 200_000, 2_000_000)},
    ),
    Benchmark(
        "pool.map.default", "1/s", "higher",
        brood=c("pool_bench map --count {n}", 2_000_000, 20_000_000),
        peers={
            "Python Pool": c("python_pool.py map --count {n}", 500_000, 5_000_000),
            "Python executor, the same chunk": c("python_pool.py map --kind executor --count {n}", 500_000, 5_000_000),
        },
        limit={"brood queue, one way": c("queue_bench copy --size 64 --count {n}", 200_000, 2_000_000)},
    ),
    Benchmark(
        "pool.imap_unordered", "1/s", "higher",
        brood=c("pool_bench imap-unordered --count {n}", 200_000, 2_000_000),
        peers={
            "Python Pool": c("python_pool.py imap-unordered --count {n}", 20_000, 200_000),
            "Python executor, as_completed": c("python_pool.py imap-unordered --kind executor --count {n}", 5000, 50_000),
        },
        limit={"brood queue, one way": c("queue_bench copy --size 64 --count {n}", 200_000, 2_000_000)},
    ),
    Benchmark(
        "pool.apply.round_trip", "us", "lower",
        brood=c("pool_bench apply --count {n}", 5000, 50_000),
        peers={
            "Python Pool": c("python_pool.py apply --count {n}", 2000, 20_000),
            "Python executor": c("python_pool.py apply --kind executor --count {n}", 2000, 20_000),
        },
        limit={"eventfd": c("bare_channel eventfd-round-trip --count {n}", 10_000, 100_000)},
    ),
    Benchmark(
        "pool.open.4", "ms", "lower",
        brood=c("pool_bench open --workers 4 --count {n}", 20, 200),
        peers={
            "Python Pool": c("python_pool.py open --workers 4 --count {n}", 5, 50),
            "Python executor": c("python_pool.py open --kind executor --workers 4 --count {n}", 5, 50),
        },
    ),
    Benchmark(
        "pool.open.1000", "ms", "lower",
        brood=c("pool_bench open --workers 1000 --count {n}", 1, 5),
        peers={
            "Python Pool": c("python_pool.py open --workers 1000 --count {n}", 1, 1),
            "Python executor": c("python_pool.py open --kind executor --workers 1000 --count {n}", 1, 1),
        },
    ),
]

# Hosts, their workers and a redis-server, all on this machine; two workers in all. Every contestant's engine writes its file
# each second. What a peer's worker had when it is killed: ours is taken over after a lease, whose length is that of the host's
# silence and not the task's; of the peers each file says what becomes of it. The limit is what the engine does for one
# client without a task: SET, 64 at a time or one by one.
TASKS = {
    "Celery, late acknowledgement": c("python_celery.py run --count {n}", 1000, 5000),
    "RQ, lost or failed with its worker": c("python_rq.py --count {n}", 100, 500),
    "Dask, lost with its scheduler": c("python_dask.py --count {n}", 2000, 20_000),
    "Sidekiq, lost with its process": c("sidekiq_tasks.rb {n}", 5000, 50_000),
    "BullMQ, a lock of 30 s": c("bullmq_tasks.js run --modules {build}/node_modules --count {n}", 5000, 50_000),
}
ENGINE = {"redis-benchmark SET, 64 at a time": c("engine_limit.py --pipeline 64 --count {n}", 100_000, 1_000_000)}
CLUSTER = [
    Benchmark("cluster.map.default", "1/s", "higher",
              brood=c("cluster_bench map --count {n}", 200_000, 2_000_000), peers=TASKS, limit=ENGINE),
    Benchmark("cluster.imap.1", "1/s", "higher",
              brood=c("cluster_bench imap --count {n}", 50_000, 500_000), peers=TASKS, limit=ENGINE),
    Benchmark("cluster.apply.p50", "ms", "lower",
              brood=c("cluster_bench apply --count {n}", 500, 5000),
              limit={"redis-benchmark SET, p50": c("engine_limit.py --pipeline 1 --count {n}", 5000, 50_000, key="p50")}),
    Benchmark("cluster.apply.p99", "ms", "lower",
              brood=c("cluster_bench apply --count {n}", 500, 5000),
              limit={"redis-benchmark SET, p99": c("engine_limit.py --pipeline 1 --count {n}", 5000, 50_000, key="p99")}),
    Benchmark("cluster.queue.put_get_many", "1/s", "higher",
              brood=c("cluster_bench queue --count {n}", 20_000, 200_000), limit=ENGINE),
    Benchmark("cluster.recovery", "s", "lower", brood=c("cluster_bench recovery", rounds=3)),
    Benchmark("cluster.engine_commands_per_1000", "requests", "lower",
              brood=c("cluster_bench requests --count {n}", 50_000, 200_000)),
]

BENCHMARKS = SPAWN + LISTS + CHILDREN + LOOP + QUEUE + PIPE + CODEC + SYNC + POOL + MANAGER + CLUSTER
