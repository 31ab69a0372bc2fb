// Bare ways to carry bytes between processes: pipes, socket pairs, eventfds, rings in shared memory, memcpy. The limits
// of what any queue or pipe can do, and the peers that somebody would write by hand.
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "../channel_race.hpp"
#include "../measure.hpp"

namespace {

using bench::checked;
using bench::shared;

void read_all(int fd, std::byte* bytes, std::size_t size) {
  while (size > 0) {
    const auto got = checked(read(fd, bytes, size), "read");
    bench::require(got > 0, "end of file");
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
}

void write_all(int fd, const std::byte* bytes, std::size_t size) {
  while (size > 0) {
    const auto put = checked(write(fd, bytes, size), "write");
    bytes += put;
    size -= static_cast<std::size_t>(put);
  }
}

/// A pipe or a stream socket pair as a queue of messages of one size. Any number of processes may share a pipe as long as
/// a message is at most PIPE_BUF, as the kernel then keeps it in one piece.
class descriptor_channel {
 public:
  static constexpr bool spins = false;

  descriptor_channel(bool sockets, std::size_t size) : size_(size) {
    checked(sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) : pipe(ends_.data()),
            "pipe or socketpair");
    if (!sockets && size > 65536) checked(fcntl(ends_[1], F_SETPIPE_SZ, 1 << 20), "F_SETPIPE_SZ");
  }
  void put(const std::byte* message) { write_all(ends_[1], message, size_); }
  void get(std::byte* message) { read_all(ends_[0], message, size_); }

 private:
  std::array<int, 2> ends_{};
  std::size_t size_;
};

/// Keeps this process on the `nth` of the cores it may use: two that spin for each other must not share one.
void stay_on_core(int nth) {
  cpu_set_t usable;
  checked(sched_getaffinity(0, sizeof usable, &usable), "sched_getaffinity");
  nth %= CPU_COUNT(&usable);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &usable) || nth-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    checked(sched_setaffinity(0, sizeof one, &one), "sched_setaffinity");
    return;
  }
}

/// Spins until `ready()`; gives the core away now and then, so that other programs on the machine do not stop
/// the ring for a whole time slice.
template <class Ready>
void spin_until(Ready ready) {
  for (int spins = 1; !ready(); ++spins) {
    if (spins % 4096 == 0) sched_yield();
  }
}

/// One producer, one consumer, both spinning. Each end keeps what it last saw of the other's position, and
/// tells its own only once in `batch` messages, so that cache lines move as seldom as they can.
class spinning_ring {
 public:
  static constexpr bool spins = true;

  spinning_ring(std::size_t size, std::uint64_t capacity, std::uint64_t batch)
      : size_(size),
        mask_(capacity - 1),
        batch_(batch),
        ring_(shared<positions>()),
        slots_(bench::shared_bytes(capacity * size)) {}

  void put(const std::byte* message) {
    end& mine = ring_->producer;
    if (mine.position - mine.other_seen > mask_) {
      spin_until([&] {
        mine.other_seen = ring_->consumer.told.load(std::memory_order_acquire);
        return mine.position - mine.other_seen <= mask_;
      });
    }
    std::memcpy(slots_ + (mine.position & mask_) * size_, message, size_);
    advance(mine);
  }

  void get(std::byte* message) {
    end& mine = ring_->consumer;
    if (mine.position == mine.other_seen) {
      spin_until([&] {
        mine.other_seen = ring_->producer.told.load(std::memory_order_acquire);
        return mine.position != mine.other_seen;
      });
    }
    std::memcpy(message, slots_ + (mine.position & mask_) * size_, size_);
    advance(mine);
  }

  /// After the last `put`.
  void flush() { ring_->producer.told.store(ring_->producer.position, std::memory_order_release); }

 private:
  struct end {
    alignas(128) std::atomic<std::uint64_t> told = 0;
    alignas(128) std::uint64_t position = 0;
    std::uint64_t other_seen = 0;
  };
  struct positions {
    end producer, consumer;
  };

  void advance(end& mine) {
    if (++mine.position % batch_ == 0) mine.told.store(mine.position, std::memory_order_release);
  }

  std::size_t size_;
  std::uint64_t mask_;
  std::uint64_t batch_;
  positions* ring_;
  std::byte* slots_;
};

/// As many messages as fit in the cache.
spinning_ring ring_for_rate(std::size_t size) {
  return size <= 1024 ? spinning_ring(size, 1024, 32) : spinning_ring(size, 4, 1);
}

/// Any number of producers and consumers: D. Vyukov's bounded queue, each slot with a turn of its own. Who
/// finds it full or empty yields the core `patience` times, as more processes than cores must not spin, and
/// then sleeps in the kernel.
class sleeping_ring {
 public:
  static constexpr bool spins = false;

  sleeping_ring(std::size_t size, int patience)
      : size_(size),
        slots_(size <= 1024 ? most_slots : 8),
        patience_(patience),
        ring_(shared<state>()),
        payload_(bench::shared_bytes(slots_ * size)) {
    for (std::uint64_t i = 0; i < slots_; ++i) ring_->turn[i].store(i, std::memory_order_relaxed);
  }

  void put(const std::byte* message) {
    wait_until(ring_->not_full, [&] {
      return step(ring_->tail, 0, [&](std::byte* slot) { std::memcpy(slot, message, size_); });
    });
    ring_->not_empty.notify_one();
  }

  void get(std::byte* message) {
    wait_until(ring_->not_empty, [&] {
      return step(ring_->head, 1, [&](std::byte* slot) { std::memcpy(message, slot, size_); });
    });
    ring_->not_full.notify_one();
  }

 private:
  static constexpr std::uint64_t most_slots = 1024;

  /// A sleeper announces itself, looks again, and sleeps only if nothing was notified since: no wake-up is
  /// lost, because the announcement and the look are ordered against the notifier's change and its look at
  /// `sleepers`. At most one wake-up is under way; who was woken and found something wakes the next, so a
  /// burst costs one system call at a time.
  struct event_count {
    alignas(128) std::atomic<std::uint32_t> epoch = 0;
    std::atomic<std::uint32_t> sleepers = 0;
    std::atomic<bool> waking = false;

    void notify_one() {
      std::atomic_thread_fence(std::memory_order_seq_cst);
      while (sleepers.load() != 0 && !waking.exchange(true)) {
        epoch.fetch_add(1);
        if (syscall(SYS_futex, &epoch, FUTEX_WAKE, 1, nullptr, nullptr, 0) > 0) return;
        waking.store(
            false);  // the sleeper had left, or not yet slept; another may have come and been passed over
      }
    }
  };

  struct state {
    alignas(128) std::atomic<std::uint64_t> tail = 0;
    alignas(128) std::atomic<std::uint64_t> head = 0;
    event_count not_full;
    event_count not_empty;
    alignas(128) std::array<std::atomic<std::uint64_t>, most_slots> turn;
  };

  /// Claims the slot at `position` when its turn is `position + lag`, and hands it over; false if it is not its turn yet.
  template <class Copy>
  bool step(std::atomic<std::uint64_t>& position, std::uint64_t lag, Copy copy) {
    std::uint64_t at = position.load(std::memory_order_relaxed);
    for (;;) {
      auto& turn = ring_->turn[at % slots_];
      const auto ahead = static_cast<std::int64_t>(turn.load(std::memory_order_acquire) - (at + lag));
      if (ahead < 0) return false;
      if (ahead > 0) {
        at = position.load(std::memory_order_relaxed);
      } else if (position.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
        copy(payload_ + (at % slots_) * size_);
        turn.store(lag == 0 ? at + 1 : at + slots_, std::memory_order_release);
        return true;
      }
    }
  }

  template <class Try>
  void wait_until(event_count& event, Try attempt) {
    if (attempt()) return;
    for (int i = 0; i < patience_; ++i) {
      sched_yield();
      if (attempt()) return;
    }
    for (bool done = false; !done;) {
      const std::uint32_t epoch = event.epoch.load();
      event.sleepers.fetch_add(1);
      done = attempt();
      if (!done) syscall(SYS_futex, &event.epoch, FUTEX_WAIT, epoch, nullptr, nullptr, 0);
      event.sleepers.fetch_sub(1);
      event.waking.store(
          false);  // what was put or taken while it was true is found by the next look, after it
      done = done || attempt();
    }
    event.notify_one();  // there may be more than one message, and only one wake-up was sent
  }

  std::size_t size_;
  std::uint64_t slots_;
  int patience_;
  state* ring_;
  std::byte* payload_;
};

/// Buffers of one size in shared memory whose numbers go round through a ring: nothing is copied. Each time the producer
/// writes, and the consumer checks, the first and the last word.
double zero_copy(std::size_t size, long count) {
  constexpr std::uint64_t buffers = 8;
  std::byte* const memory = bench::shared_bytes(buffers * size);
  spinning_ring full(sizeof(std::uint64_t), 16, 1), empty(sizeof(std::uint64_t), 16, 1);
  const auto put = [](spinning_ring& ring, std::uint64_t number) {
    ring.put(reinterpret_cast<const std::byte*>(&number));
  };
  const auto get = [](spinning_ring& ring) {
    std::uint64_t number = 0;
    ring.get(reinterpret_cast<std::byte*>(&number));
    return number;
  };
  for (std::uint64_t i = 0; i < buffers; ++i) put(empty, i);
  return bench::race(
      1, 1, count,
      [&](int, long messages) {
        stay_on_core(0);
        for (long i = 0; i < messages; ++i) {
          const std::uint64_t number = get(empty);
          bench::stamp(memory + number * size, size, i);
          put(full, number);
        }
      },
      [&](int, long messages) {
        stay_on_core(1);
        for (long i = 0; i < messages; ++i) {
          const std::uint64_t number = get(full);
          bench::require(bench::stamp_of(memory + number * size, size) == i, "order of messages");
          put(empty, number);
        }
      });
}

template <class Channel>
double messages(Channel& channel, std::size_t size, int producers, int consumers, long count) {
  return bench::race(
      producers, consumers, count,
      [&](int, long share) {
        if (Channel::spins) stay_on_core(0);
        auto message = std::make_unique<std::byte[]>(size);
        for (long i = 0; i < share; ++i) {
          bench::stamp(message.get(), size, i);
          channel.put(message.get());
        }
        if constexpr (Channel::spins) channel.flush();
      },
      [&](int, long share) {
        if (Channel::spins) stay_on_core(1);
        auto message = std::make_unique<std::byte[]>(size);
        for (long i = 0; i < share; ++i) {
          channel.get(message.get());
          const long got = bench::stamp_of(message.get(), size);
          bench::require(producers > 1 || consumers > 1 || got == i, "order of messages");
        }
      });
}

/// Seconds for one message there and one back, both sides the given channels.
template <class Channel>
double round_trip(Channel& there, Channel& back, std::size_t size, long count) {
  std::array<std::byte, 4096> message{}, answer{};
  bench::require(size <= message.size(), "size");
  const pid_t echo = checked(fork(), "fork");
  if (echo == 0) {
    _exit(bench::guarded([&] {
      if (Channel::spins) stay_on_core(0);
      for (long i = 0; i < count; ++i) {
        there.get(answer.data());
        back.put(answer.data());
      }
    }));
  }
  if (Channel::spins) stay_on_core(1);
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    bench::stamp(message.data(), size, i);
    there.put(message.data());
    back.get(answer.data());
    bench::require(std::memcmp(message.data(), answer.data(), size) == 0, "the echo");
  }
  const double elapsed = bench::wall_clock() - begin;
  int status = 0;
  checked(waitpid(echo, &status, 0), "waitpid");
  bench::require_success(status);
  return elapsed / static_cast<double>(count);
}

/// An eventfd carries no message: it is the bare cost of waking each other.
struct eventfd_channel {
  static constexpr bool spins = false;
  int fd = checked(eventfd(0, EFD_SEMAPHORE), "eventfd");
  void put(const std::byte*) {
    const std::uint64_t one = 1;
    bench::require(write(fd, &one, sizeof one) == sizeof one, "write");
  }
  void get(std::byte*) {
    std::uint64_t one = 0;
    bench::require(read(fd, &one, sizeof one) == sizeof one, "read");
  }
};

double eventfd_round_trip(long count) {
  eventfd_channel there, back;
  return round_trip(there, back, 0, count);
}

/// A copy within the cache, as a message that was just written is read.
double copies(std::size_t size, long count) {
  auto from = std::make_unique<std::byte[]>(size);
  auto to = std::make_unique<std::byte[]>(size);
  std::memset(to.get(), 1, size);
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    bench::stamp(from.get(), size, i);
    std::memcpy(to.get(), from.get(), size);
    bench::require(bench::stamp_of(to.get(), size) == i, "the copy");
  }
  return static_cast<double>(count) / (bench::wall_clock() - begin);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("bare ways to carry bytes between processes");
  app.require_subcommand(1);
  app.fallthrough();
  long count = 100'000;
  std::size_t size = 64;
  int producers = 1;
  int consumers = 1;
  bool bytes = false;
  app.add_option("--count", count, "messages");
  app.add_option("--size", size, "bytes of a message")->check(CLI::Range(16, 1 << 24));
  app.add_option("--producers", producers);
  app.add_option("--consumers", consumers);
  app.add_flag("--gigabytes", bytes, "print GB/s, not messages a second");

  int patience = 0;
  CLI::App& pipe_rate = *app.add_subcommand("pipe", "messages through a pipe");
  CLI::App& socket_rate = *app.add_subcommand("socketpair", "messages through a socket pair");
  CLI::App& ring_rate = *app.add_subcommand("ring", "messages through a ring, both ends spinning");
  CLI::App& sleeping_rate = *app.add_subcommand("sleeping-ring", "messages through a ring whose ends sleep");
  sleeping_rate.add_option("--patience", patience, "how often to yield before sleeping");
  CLI::App& handing_over = *app.add_subcommand("zero-copy", "buffers handed over, not copied");
  CLI::App& memcpy_rate = *app.add_subcommand("memcpy", "messages copied within one process");
  CLI::App& pipe_trip = *app.add_subcommand("pipe-round-trip", "microseconds");
  CLI::App& socket_trip = *app.add_subcommand("socketpair-round-trip", "microseconds");
  CLI::App& ring_trip = *app.add_subcommand("ring-round-trip", "microseconds");
  CLI::App& eventfd_trip = *app.add_subcommand("eventfd-round-trip", "microseconds");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    const auto report_rate = [&](double rate) {
      bench::report(bytes ? rate * static_cast<double>(size) * 1e-9 : rate);
    };
    const auto through = [&](auto channel) {
      report_rate(messages(channel, size, producers, consumers, count));
    };
    const auto there_and_back = [&](auto there, auto back) {
      bench::report(round_trip(there, back, size, count) * 1e6);
    };
    if (pipe_rate) {
      bench::require((producers == 1 && consumers == 1) || size <= PIPE_BUF,
                     "--size above PIPE_BUF when shared");
      through(descriptor_channel(false, size));
    }
    if (socket_rate) {
      bench::require(producers == 1 && consumers == 1, "a socket pair has two ends");
      through(descriptor_channel(true, size));
    }
    if (ring_rate) {
      bench::require(producers == 1 && consumers == 1, "this ring has two ends");
      through(ring_for_rate(size));
    }
    if (sleeping_rate) through(sleeping_ring(size, patience));
    if (handing_over) report_rate(zero_copy(size, count));
    if (memcpy_rate) report_rate(copies(size, count));
    if (pipe_trip) there_and_back(descriptor_channel(false, size), descriptor_channel(false, size));
    if (socket_trip) there_and_back(descriptor_channel(true, size), descriptor_channel(true, size));
    if (ring_trip) there_and_back(spinning_ring(size, 16, 1), spinning_ring(size, 16, 1));
    if (eventfd_trip) bench::report(eventfd_round_trip(count) * 1e6);
  });
}
