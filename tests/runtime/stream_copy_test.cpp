// Streams as wholes: copied, from files, in messages and in pieces of a known length.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "brood/coroutine/error.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/stream.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;

namespace {

struct ends {
  brood::reader in;
  brood::writer out;
};

ends pipe_ends() {
  int fds[2];
  REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
  return {brood::reader(brood::unique_fd(fds[0])), brood::writer(brood::unique_fd(fds[1]))};
}

ends socket_ends() {
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {brood::reader(brood::unique_fd(fds[0])), brood::writer(brood::unique_fd(fds[1]))};
}

std::string numbers(std::size_t size) {
  std::string result;
  for (int i = 0; result.size() < size; ++i) result += std::to_string(i) + ",";
  result.resize(size);
  return result;
}

brood::task<> write_and_close(brood::writer to, std::string bytes) {
  co_await to.write(std::move(bytes));
  to.close();
}

brood::task<> copy_and_close(brood::reader from, brood::writer to, std::uint64_t expected) {
  const auto count = co_await brood::copy(from, to);
  CHECK(count == expected);
  to.close();
}

brood::task<> carry(ends first, ends second) {
  const std::string much = numbers(3'000'000);
  auto [wrote, copied, arrived] =
      co_await brood::when_all(write_and_close(first.out, much),
                               copy_and_close(first.in, second.out, much.size()), second.in.read_all());
  CHECK((arrived == much));
}

}  // namespace

TEST_CASE("copy carries every byte between pipes and sockets") {
  run_clean([]() -> brood::task<> {
    co_await carry(pipe_ends(), pipe_ends());
    co_await carry(pipe_ends(), socket_ends());
    co_await carry(socket_ends(), pipe_ends());
    co_await carry(socket_ends(), socket_ends());
  });
}

TEST_CASE("copy begins with what was read before, and ends with as many bytes as asked") {
  run_clean([]() -> brood::task<> {
    auto first = pipe_ends();
    auto second = pipe_ends();
    co_await first.out.write("a line\nand more than that");
    const auto line = co_await first.in.read_line();
    CHECK(line == "a line");
    const auto some = co_await brood::copy(first.in, second.out, 3);
    CHECK(some == 3);
    const auto more = co_await brood::copy(first.in, second.out, 5);
    CHECK(more == 5);
    first.out.close();
    const auto rest = co_await brood::copy(first.in, second.out);
    CHECK(rest == 10);
    second.out.close();
    const auto all = co_await second.in.read_all();
    CHECK(all == "and more than that");
  });
}

TEST_CASE("copy to nobody is closed, without SIGPIPE; a cancelled one can be gone on with") {
  run_clean([]() -> brood::task<> {
    auto first = pipe_ends();
    auto second = pipe_ends();
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, brood::copy(first.in, second.out)), brood::timed_out);
    co_await first.out.write("later");
    const auto count = co_await brood::copy(first.in, second.out, 5);
    CHECK(count == 5);
    second.in.close();
    co_await first.out.write("nobody");
    CHECK_THROWS_AS(co_await brood::copy(first.in, second.out), brood::closed);
    CHECK_THROWS_AS(co_await brood::copy(brood::reader(), second.out), brood::closed);
  });
}

TEST_CASE("a file, and a part of it, is written to a stream") {
  const auto path = std::filesystem::temp_directory_path() / ("brood-stream-" + std::to_string(getpid()));
  const std::string much = numbers(600'000);
  std::ofstream(path) << much;
  run_clean([&]() -> brood::task<> {
    auto pipe = pipe_ends();
    auto [count, arrived] =
        co_await brood::when_all(brood::write_file(pipe.out, path), pipe.in.read_exactly(much.size()));
    CHECK(count == much.size());
    CHECK((arrived == much));
    const auto part = co_await brood::write_file(pipe.out, path, 100, 50);
    CHECK(part == 50);
    const auto middle = co_await pipe.in.read_exactly(50);
    CHECK(middle == much.substr(100, 50));
    CHECK_THROWS_AS(co_await brood::write_file(pipe.out, "/no/such/file"), std::system_error);
  });
  std::filesystem::remove(path);
}

TEST_CASE("so many bytes, or up to what ends them") {
  run_clean([]() -> brood::task<> {
    auto pipe = pipe_ends();
    co_await pipe.out.write("12345--rest-");
    const auto five = co_await pipe.in.read_exactly(5);
    CHECK(five == "12345");
    const auto none = co_await pipe.in.read_exactly(0);
    CHECK(none.empty());
    const auto mark = co_await pipe.in.read_until("--");
    CHECK(mark == "--");
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, pipe.in.read_until("--")), brood::timed_out);
    CHECK_THROWS_AS(co_await pipe.in.read_until("--", 3), std::length_error);
    const std::string end = "-";
    co_await pipe.out.write(std::as_bytes(std::span(end)));
    const auto rest = co_await pipe.in.read_until("--");
    CHECK(rest == "rest--");
    co_await pipe.out.write("abc");
    pipe.out.close();
    CHECK_THROWS_AS(co_await pipe.in.read_exactly(4), brood::closed);
    const auto kept = co_await pipe.in.read_until("--");
    CHECK(kept == "abc");
  });
}

TEST_CASE("messages with their length in front") {
  run_clean([]() -> brood::task<> {
    auto pipe = pipe_ends();
    const std::string large = numbers(300'000);
    co_await brood::write_frame(pipe.out, "one");
    co_await brood::write_frame(pipe.out, "");
    const auto first = co_await brood::read_frame(pipe.in);
    CHECK(first == "one");
    const auto second = co_await brood::read_frame(pipe.in);
    CHECK(second == "");
    auto [wrote, third] =
        co_await brood::when_all(brood::write_frame(pipe.out, large), brood::read_frame(pipe.in));
    CHECK((third == large));
    co_await pipe.out.write(std::string("\0\0\0\3ab", 6));
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, brood::read_frame(pipe.in)), brood::timed_out);
    co_await pipe.out.write("c");
    const auto late = co_await brood::read_frame(pipe.in);
    CHECK(late == "abc");
    co_await pipe.out.write(std::string("\x7f\0\0\0", 4));
    CHECK_THROWS_AS(co_await brood::read_frame(pipe.in), std::length_error);
  });
  run_clean([]() -> brood::task<> {
    auto whole = pipe_ends();
    whole.out.close();
    const auto nothing = co_await brood::read_frame(whole.in);
    CHECK(nothing == std::nullopt);
    auto torn = pipe_ends();
    co_await torn.out.write(std::string("\0\0\0\3ab", 6));
    torn.out.close();
    CHECK_THROWS_AS(co_await brood::read_frame(torn.in), brood::closed);
  });
}
