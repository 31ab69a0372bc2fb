// reader and writer: bytes over pipes and sockets.
#include "brood/runtime/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <system_error>
#include <vector>

#include "brood/coroutine/error.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "run_clean.hpp"
#include "tail_calls.hpp"

using namespace std::chrono_literals;
using brood::reader;
using brood::task;
using brood::unique_fd;
using brood::writer;

namespace {

struct byte_pipe {
  byte_pipe() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    in = reader(unique_fd(ends[0]));
    out = writer(unique_fd(ends[1]));
  }
  reader in;
  writer out;
};

struct socket_pair {
  socket_pair() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    in = reader(unique_fd(ends[0]));
    out = writer(unique_fd(ends[1]));
  }
  reader in;
  writer out;
};

std::string numbers(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE("streams constructed and never used close their descriptors") {
  run_clean([]() -> task<> {
    byte_pipe unused;
    const reader copy = unused.in;
    CHECK(copy);
    co_return;
  });
  CHECK_FALSE(reader());
  CHECK_FALSE(writer());
  const leftovers before = leftovers::now();
  {
    byte_pipe without_a_loop;
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("a stream that is not open or was closed says so") {
  run_clean([]() -> task<> {
    CHECK_THROWS_AS(co_await reader().read(), brood::closed);
    CHECK_THROWS_AS(co_await reader().read_line(), brood::closed);
    CHECK_THROWS_AS(co_await reader().read_all(), brood::closed);
    CHECK_THROWS_AS(co_await writer().write("x"), brood::closed);
    reader().close();
    writer().close();
    byte_pipe pipe;
    pipe.in.close();
    pipe.in.close();
    pipe.out.close();
    CHECK_THROWS_AS(co_await pipe.in.read(), brood::closed);
    CHECK_THROWS_AS(co_await pipe.out.write("x"), brood::closed);
  });
}

TEST_CASE("read gives what is there and nothing at the end") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    co_await pipe.out.write("hello");
    const auto four = co_await pipe.in.read(4);
    const auto rest = co_await pipe.in.read();
    CHECK(four == "hell");
    CHECK(rest == "o");
    co_await pipe.out.write("x");
    pipe.out.close();
    const auto last = co_await pipe.in.read();
    const auto end = co_await pipe.in.read();
    const auto still_end = co_await pipe.in.read();
    CHECK(last == "x");
    CHECK(end.empty());
    CHECK(still_end.empty());
  });
}

TEST_CASE("reading no bytes is not the end of the stream") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    const auto none = co_await pipe.in.read(0);
    CHECK(none.empty());
    co_await pipe.out.write("x");
    const auto one = co_await pipe.in.read();
    CHECK(one == "x");
  });
}

TEST_CASE("read waits for the first byte") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    auto write_later = [&]() -> task<> {
      co_await brood::sleep_for(2ms);
      co_await pipe.out.write("late");
    };
    auto [text, unit] = co_await brood::when_all(pipe.in.read(), write_later());
    CHECK(text == "late");
    static_cast<void>(unit);
  });
}

TEST_CASE("lines are read one by one; the last may lack its newline") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    co_await pipe.out.write("one\n\ntwo\nthr");
    auto one = co_await pipe.in.read_line();
    auto empty = co_await pipe.in.read_line();
    auto two = co_await pipe.in.read_line();
    CHECK(one == "one");
    CHECK(empty == "");
    CHECK(two == "two");
    auto finish = [&]() -> task<> {
      co_await pipe.out.write("ee");
      pipe.out.close();
    };
    auto [three, unit] = co_await brood::when_all(pipe.in.read_line(), finish());
    CHECK(three == "three");
    auto end = co_await pipe.in.read_line();
    CHECK_FALSE(end);
    static_cast<void>(unit);
  });
}

TEST_CASE("very many lines through a pipe") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    constexpr int lines = transfer_is_a_tail_call ? 100'000 : 1'000;
    auto produce = [&]() -> task<> {
      co_await pipe.out.write(numbers(lines));
      pipe.out.close();
    };
    auto consume = [&]() -> task<> {
      int next = 0;
      while (auto line = co_await pipe.in.read_line()) {
        if (*line != std::to_string(next)) break;
        ++next;
      }
      CHECK(next == lines);
    };
    co_await brood::when_all(produce(), consume());
  });
}

TEST_CASE("a line longer than its limit is an error and stays to be read") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    co_await pipe.out.write("123456789\nx\n");
    CHECK_THROWS_AS(co_await pipe.in.read_line(8), std::length_error);
    CHECK_THROWS_AS(co_await pipe.in.read_line(8), std::length_error);
    auto whole = co_await pipe.in.read_line(9);
    CHECK(whole == "123456789");
    // Also without a newline in sight.
    co_await pipe.out.write("abcdefghij");
    auto x = co_await pipe.in.read_line(8);
    CHECK(x == "x");
    CHECK_THROWS_AS(co_await pipe.in.read_line(8), std::length_error);
    const auto rest = co_await pipe.in.read();
    CHECK(rest == "abcdefghij");
  });
}

TEST_CASE("a line longer than its limit may be cut or left out") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    co_await pipe.out.write("123456789\nx\n123456789\ny\n");
    auto cut = co_await pipe.in.read_line(8, brood::long_line::truncate);
    auto x = co_await pipe.in.read_line(8);
    auto y = co_await pipe.in.read_line(8, brood::long_line::skip);
    CHECK(cut == "12345678");
    CHECK(x == "x");
    CHECK(y == "y");

    // What has not come yet is dropped when it comes, whatever reads then.
    co_await pipe.out.write("abcdefghij");
    cut = co_await pipe.in.read_line(8, brood::long_line::truncate);
    CHECK(cut == "abcdefgh");
    CHECK_THROWS_AS(co_await brood::with_timeout(1ms, pipe.in.read_line()), brood::timed_out);
    co_await pipe.out.write("klm\nz");
    const auto z = co_await pipe.in.read();
    CHECK(z == "z");
    co_await pipe.out.write("123456789");
    pipe.out.close();
    const auto end = co_await pipe.in.read_line(8, brood::long_line::skip);
    CHECK_FALSE(end);
  });
}

TEST_CASE("a line of 20 MB ends nobody who skips it") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    auto produce = [&]() -> task<> {
      co_await pipe.out.write(std::string(20'000'000, 'x') + "\nnext\n");
      pipe.out.close();
    };
    auto consume = [&]() -> task<std::optional<std::string>> {
      co_return co_await pipe.in.read_line(16 * 1024 * 1024, brood::long_line::skip);
    };
    auto [line, unit] = co_await brood::when_all(consume(), produce());
    CHECK(line == "next");
    static_cast<void>(unit);
  });
}

TEST_CASE("read_all reads to the end, with a limit") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    auto produce = [&]() -> task<> {
      co_await pipe.out.write(std::string(1'000'000, 'x'));
      pipe.out.close();
    };
    auto [all, unit] = co_await brood::when_all(pipe.in.read_all(), produce());
    CHECK(all == std::string(1'000'000, 'x'));
    static_cast<void>(unit);

    byte_pipe limited;
    co_await limited.out.write("12345");
    limited.out.close();
    CHECK_THROWS_AS(co_await limited.in.read_all(4), std::length_error);
    const auto kept = co_await limited.in.read_all(5);
    CHECK(kept == "12345");
  });
}

TEST_CASE("a write waits until the other side takes the bytes, on pipes and sockets") {
  run_clean([]() -> task<> {
    const std::string big(4'000'000, 'y');
    byte_pipe pipe;
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, pipe.out.write(big)), brood::timed_out);
    socket_pair sockets;
    auto produce = [&]() -> task<> {
      co_await sockets.out.write(big);
      sockets.out.close();
    };
    auto [all, unit] = co_await brood::when_all(sockets.in.read_all(), produce());
    CHECK(all == big);
    static_cast<void>(unit);
  });
}

TEST_CASE("writing to nobody is closed, without SIGPIPE, and the host's disposition stays") {
  struct sigaction before{};
  sigaction(SIGPIPE, nullptr, &before);
  CHECK(before.sa_handler == SIG_DFL);
  run_clean([]() -> task<> {
    byte_pipe pipe;
    pipe.in.close();
    CHECK_THROWS_AS(co_await pipe.out.write("x"), brood::closed);
    socket_pair sockets;
    sockets.in.close();
    CHECK_THROWS_AS(co_await sockets.out.write("x"), brood::closed);
  });
  sigset_t pending;
  sigpending(&pending);
  CHECK(sigismember(&pending, SIGPIPE) == 0);
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  CHECK(sigismember(&blocked, SIGPIPE) == 0);
}

TEST_CASE("a writer that waits learns that the reader has gone") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    auto leave = [&]() -> task<> {
      co_await brood::sleep_for(2ms);
      pipe.in.close();
    };
    auto write = [&]() -> task<> {
      CHECK_THROWS_AS(co_await pipe.out.write(std::string(1'000'000, 'z')), brood::closed);
    };
    co_await brood::when_all(leave(), write());
  });
}

TEST_CASE("closing a stream ends a read that waits") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    auto close = [&]() -> task<> {
      co_await brood::sleep_for(1ms);
      pipe.in.close();
    };
    auto read = [&]() -> task<> { CHECK_THROWS_AS(co_await pipe.in.read(), brood::closed); };
    co_await brood::when_all(read(), close());
  });
}

TEST_CASE("cancelling a read loses nothing") {
  run_clean([]() -> task<> {
    byte_pipe pipe;
    CHECK_THROWS_AS(co_await brood::with_timeout(1ms, pipe.in.read()), brood::timed_out);
    co_await pipe.out.write("half a li");
    CHECK_THROWS_AS(co_await brood::with_timeout(2ms, pipe.in.read_line()), brood::timed_out);
    CHECK_THROWS_AS(co_await brood::with_timeout(2ms, pipe.in.read_all()), brood::timed_out);
    co_await pipe.out.write("ne\nand more");
    const auto line = co_await pipe.in.read_line();
    const auto more = co_await pipe.in.read();
    CHECK(line == "half a line");
    CHECK(more == "and more");
  });
}

TEST_CASE("when_any of two reads that become ready together loses nothing") {
  run_clean([]() -> task<> {
    byte_pipe one;
    byte_pipe two;
    auto write_both = [&]() -> task<> {
      co_await brood::sleep_for(1ms);
      co_await one.out.write("1");
      co_await two.out.write("2");
    };
    auto race = [&]() -> task<std::string> {
      auto first = co_await brood::when_any(one.in.read(), two.in.read());
      const bool first_won = first.index() == 0;
      std::string got = first_won ? std::get<0>(first) : std::get<1>(first);
      auto& other = first_won ? two.in : one.in;
      got += co_await brood::with_timeout(10s, other.read());
      co_return got;
    };
    auto [got, unit] = co_await brood::when_all(race(), write_both());
    CHECK((got == "12" || got == "21"));
    static_cast<void>(unit);
  });
}

TEST_CASE("a task of a stream does not need the reader it came from") {
  run_clean([]() -> task<> {
    auto pipe = std::make_unique<byte_pipe>();
    auto read = pipe->in.read_line();
    auto write = pipe->out.write("kept\n");
    pipe.reset();
    co_await std::move(write);
    const auto line = co_await std::move(read);
    CHECK(line == "kept");
  });
}

TEST_CASE("a regular file is a stream too") {
  run_clean([]() -> task<> {
    reader file(unique_fd(open("/proc/self/status", O_RDONLY | O_CLOEXEC)));
    const auto line = co_await file.read_line();
    CHECK_THAT(*line, contains_text("Name:"));
    const auto rest = co_await file.read_all();
    CHECK_FALSE(rest.empty());
  });
}

TEST_CASE("an error of the system carries its call") {
  CHECK_THROWS_WITH(reader(unique_fd(1'000'000)), contains_text("fcntl"));
  run_clean([]() -> task<> {
    reader folder(unique_fd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    CHECK_THROWS_AS(co_await folder.read(), std::system_error);
  });
}
