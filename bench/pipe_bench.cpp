// The pipe between two processes: round trips of loops that both sleep, and large messages one way.
#include <CLI/CLI.hpp>
#include <array>
#include <brood/brood.hpp>
#include <cstddef>
#include <vector>

#include "channel_race.hpp"
#include "measure.hpp"

namespace {

struct options {
  long count = 10'000;
  std::size_t size = 64;
};

using message = std::array<std::byte, 64>;

brood::task<> echo(brood::connection<message, message> connection, long count) {
  for (long i = 0; i < count; ++i) co_await connection.send(co_await connection.recv());
}

/// Microseconds there and back.
brood::task<double> round_trip(const options& chosen) {
  bench::require(chosen.size == std::tuple_size_v<message>, "--size is 64 here");
  auto [ours, theirs] = brood::pipe<message>();
  auto child = co_await brood::spawn<echo>(theirs, chosen.count);
  message sent{};
  co_await ours.send(sent);  // the first answer tells that the child is there
  co_await ours.recv();
  const long trips = chosen.count - 1;
  const double begin = bench::wall_clock();
  for (long i = 0; i < trips; ++i) {
    bench::stamp(sent.data(), sent.size(), i);
    co_await ours.send(sent);
    bench::require(co_await ours.recv() == sent, "the echo");
  }
  const double elapsed = bench::wall_clock() - begin;
  co_await child.result();
  co_return elapsed / static_cast<double>(trips) * 1e6;
}

using bytes = std::vector<std::byte>;

brood::task<> send_all(brood::sender<bytes> sender, long count, std::size_t size) {
  bytes block(size);
  for (long i = 0; i < count; ++i) {
    bench::stamp(block.data(), size, i);
    co_await sender.send_bytes(block);
  }
}

/// GB/s.
brood::task<double> stream(const options& chosen) {
  auto [receiver, sender] = brood::one_way_pipe<bytes>();
  auto child = co_await brood::spawn<send_all>(sender, chosen.count, chosen.size);
  double begin = 0;
  for (long i = 0; i < chosen.count; ++i) {
    const bytes block = co_await receiver.recv_bytes(chosen.size);
    if (i == 0) begin = bench::wall_clock();
    bench::require(block.size() == chosen.size, "size of a message");
    bench::require(bench::stamp_of(block.data(), block.size()) == i, "order of messages");
  }
  const double elapsed = bench::wall_clock() - begin;
  co_await child.result();
  co_return static_cast<double>(chosen.count - 1) * static_cast<double>(chosen.size) / elapsed * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's pipe");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "messages");
  app.add_option("--size", chosen.size, "bytes of a message")->check(CLI::Range(16, 1 << 24));
  CLI::App& trip = *app.add_subcommand("round-trip", "microseconds");
  CLI::App& one_way = *app.add_subcommand("stream", "GB/s");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    if (trip) bench::report(co_await round_trip(chosen));
    if (one_way) bench::report(co_await stream(chosen));
  };
  return brood::run(argc, argv, measure);
}
