// The queue between processes: small messages, large ones, and buffers that move without a copy.
#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <brood/brood.hpp>
#include <chrono>
#include <cstddef>
#include <vector>

#include "channel_race.hpp"
#include "measure.hpp"

namespace {

using namespace std::chrono_literals;

struct options {
  long count = 100'000;
  std::size_t size = 64;
  int producers = 1;
  int consumers = 1;
  bool gigabytes = false;
};

using large = std::vector<std::byte>;
template <std::size_t Size>
using small = std::array<std::byte, Size>;

/// How many producers and consumers are there for the start. Mapped before the fork server exists, so that
/// all of the family share it.
std::atomic<int>* const ready = bench::shared<std::atomic<int>>();

template <class Message>
brood::task<> produce(brood::queue<Message> queue, brood::queue<int> gate, std::size_t size, long share) {
  Message message{};
  if constexpr (requires { message.resize(size); }) message.resize(size);
  ready->fetch_add(1);
  co_await gate.get();
  for (long i = 0; i < share; ++i) {
    bench::stamp(message.data(), message.size(), i);
    co_await queue.put(message);
  }
}

template <class Message>
brood::task<> consume(brood::queue<Message> queue, std::size_t size, long share, bool ordered) {
  ready->fetch_add(1);
  for (long i = 0; i < share; ++i) {
    const Message message = co_await queue.get();
    bench::require(message.size() == size, "size of a message");
    const long number = bench::stamp_of(message.data(), message.size());
    bench::require(!ordered || number == i, "order of messages");
  }
}

/// Messages a second, from the common start to the end of the last process.
template <class Message>
brood::task<double> copying(const options& chosen) {
  brood::queue<Message> queue;
  brood::queue<int> gate;
  double begin = 0;
  co_await brood::with_nursery([&](brood::nursery& children) -> brood::task<> {
    const bool ordered = chosen.producers == 1 && chosen.consumers == 1;
    for (int i = 0; i < chosen.consumers; ++i) {
      const long share = bench::share_of(i, chosen.consumers, chosen.count);
      co_await children.spawn<consume<Message>>(queue, chosen.size, share, ordered);
    }
    for (int i = 0; i < chosen.producers; ++i) {
      const long share = bench::share_of(i, chosen.producers, chosen.count);
      co_await children.spawn<produce<Message>>(queue, gate, chosen.size, share);
    }
    while (ready->load() < chosen.producers + chosen.consumers) co_await brood::sleep_for(1ms);
    begin = bench::wall_clock();
    for (int i = 0; i < chosen.producers; ++i) co_await gate.put(i);
  });
  co_return static_cast<double>(chosen.count) / (bench::wall_clock() - begin);
}

brood::task<> fill(brood::queue<brood::shared_buffer> full, brood::queue<brood::shared_buffer> empty,
                   long count) {
  for (long i = 0; i < count; ++i) {
    brood::shared_buffer buffer = co_await empty.get();
    bench::stamp(buffer.data(), buffer.size(), i);
    co_await full.put(std::move(buffer));
  }
}

/// Buffers a second that go to a child and back; see `zero_copy` in peers/bare_channel.cpp.
brood::task<double> zero_copy(const options& chosen) {
  brood::queue<brood::shared_buffer> full, empty;
  for (int i = 0; i < 8; ++i) {
    brood::shared_buffer buffer(chosen.size);
    co_await empty.put(std::move(buffer));
  }
  const double begin = bench::wall_clock();
  auto producer = co_await brood::spawn<fill>(full, empty, chosen.count);
  for (long i = 0; i < chosen.count; ++i) {
    brood::shared_buffer buffer = co_await full.get();
    bench::require(bench::stamp_of(buffer.data(), buffer.size()) == i, "order of messages");
    co_await empty.put(std::move(buffer));
  }
  co_await producer.result();
  co_return static_cast<double>(chosen.count) / (bench::wall_clock() - begin);
}

brood::task<double> copying_of_size(const options& chosen) {
  if (chosen.size == 64) return copying<small<64>>(chosen);
  if (chosen.size == 1024) return copying<small<1024>>(chosen);
  return copying<large>(chosen);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's queue");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "messages");
  app.add_option("--size", chosen.size, "bytes of a message")->check(CLI::Range(16, 1 << 24));
  app.add_option("--producers", chosen.producers);
  app.add_option("--consumers", chosen.consumers);
  app.add_flag("--gigabytes", chosen.gigabytes, "print GB/s, not messages a second");
  CLI::App& copy = *app.add_subcommand("copy", "messages that are copied in and out");
  CLI::App& hand_over = *app.add_subcommand("zero-copy", "shared buffers handed over");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    double rate = 0;
    if (copy) rate = co_await copying_of_size(chosen);
    if (hand_over) rate = co_await zero_copy(chosen);
    bench::report(chosen.gigabytes ? rate * static_cast<double>(chosen.size) * 1e-9 : rate);
  };
  return brood::run(argc, argv, measure);
}
