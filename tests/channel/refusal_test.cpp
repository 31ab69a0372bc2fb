// What the system refuses once, in connections, shared descriptors and wakes: an error or nothing, and then it works.
// The calls are refused here, in front of the C library, so it is the library as it is shipped that is tried.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "brood/channel/listener.hpp"
#include "brood/channel/queue.hpp"
#include "brood/channel/shared_fd.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/runtime/stream.hpp"
#include "catch.hpp"
#include "channel/fd_depot.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "run_clean.hpp"
#include "system/stream_socket.hpp"

using namespace brood;
using namespace std::chrono_literals;

namespace {

/// How many of the next calls are refused, and with which errno.
struct refusal {
  int times = 0;
  int code = 0;
  bool now() noexcept {
    if (times == 0) return false;
    --times;
    errno = code;
    return true;
  }
};
refusal of_sendto;
refusal of_accept4;
refusal of_send;

}  // namespace

extern "C" ssize_t sendto(int fd, const void* bytes, size_t size, int flags, const sockaddr* to,
                          socklen_t length) {
  if (of_sendto.now()) return -1;
  return syscall(SYS_sendto, fd, bytes, size, flags, to, length);
}
extern "C" ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  if (of_send.now()) return -1;
  return syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}
extern "C" int accept4(int fd, sockaddr* from, socklen_t* length, int flags) {
  if (of_accept4.now()) return -1;
  return static_cast<int>(syscall(SYS_accept4, fd, from, length, flags));
}

namespace {

/// Takes every descriptor that this process may still have.
class no_descriptors {
 public:
  no_descriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 128;
    setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0;
         fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
      taken_.emplace_back(fd);
    }
  }
  ~no_descriptors() {
    taken_.clear();
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<unique_fd> taken_;
};

task<std::string> read_to_end(unique_fd from) {
  reader in(std::move(from));
  std::string all;
  for (std::string part = co_await in.read(); !part.empty(); part = co_await in.read()) all += part;
  co_return all;
}

unique_fd visitor_of(detail::fd_depot& depot) {
  const auto there = detail::depot_endpoint(depot.port());
  unique_fd socket = sys::stream_socket(there);
  if (sys::start_connect(socket.get(), there) != 0) throw std::runtime_error("connect");
  return socket;
}

}  // namespace

TEST_CASE("at the descriptor limit the loop of a process that shares descriptors goes on") {
  test::memory m;
  run_clean([]() -> task<> {
    auto& depot = runtime::current().use<detail::fd_depot>();
    const shared_fd shared = shared_fd::copy_of(0);
    unique_fd visitor = visitor_of(depot);
    {
      const no_descriptors none;
      const std::string answer = co_await read_to_end(std::move(visitor));
      CHECK(answer.empty());  // it was turned away
    }
    const unique_fd opened = co_await shared.open();
    CHECK(opened);
  });
}

TEST_CASE("a visitor whom the system cannot let in yet is let in later") {
  test::memory m;
  for (const int code : {ENOMEM, ENOBUFS, EINTR, ECONNABORTED}) {
    run_clean([code]() -> task<> {
      auto& depot = runtime::current().use<detail::fd_depot>();
      const shared_fd shared = shared_fd::copy_of(0);
      of_accept4 = {5, code};
      unique_fd visitor = visitor_of(depot);
      const detail::depot_request request{detail::depot_request::what::give, 12345};
      CHECK(::write(visitor.get(), &request, sizeof request) == sizeof request);
      const std::string answer = co_await read_to_end(std::move(visitor));
      CHECK(answer.empty());  // there is none of that number
      CHECK(of_accept4.times == 0);
    });
  }
}

TEST_CASE("a wake that the system refuses to send is sent later, whatever it says") {
  test::memory m;
  for (const int code : {EPERM, ENOBUFS, ENOMEM, EINTR, EACCES, EMFILE}) {
    queue<int> there(1);
    queue<int> back(1);
    CHECK(there.capacity() == back.capacity());  // made before the fork
    test::child echo([&] {
      test::in_loop([&]() -> task<> {
        const int got = co_await there.get();
        co_await back.put(got);
      });
    });
    test::in_loop([&]() -> task<> {
      // Until it sleeps: a process that is awake is not sent anything.
      while (!family_memory::get().wakes.is_asleep(echo.id().word())) co_await sleep_for(1ms);
      of_sendto = {3, code};
      co_await there.put(code);
      const int got = co_await back.get();
      CHECK(got == code);
      CHECK(of_sendto.times == 0);
    });
    CHECK(echo.join() == 0);
  }
}

TEST_CASE("a send that is refused throws, and the connection goes on") {
  using text = connection<std::string, std::string>;
  run_clean([]() -> task<> {
    const listener l(address(), "key");
    const auto accepting = [&l]() -> task<text> { co_return co_await l.accept<std::string, std::string>(); };
    const auto connecting = [&l]() -> task<text> {
      co_return co_await connect<std::string, std::string>(l.address(), "key");
    };
    auto [a, b] = co_await when_all(accepting(), connecting());
    const std::string words = "words";
    for (const int code : {ENOMEM, ENOBUFS, EPERM}) {
      of_send = {1, code};
      int told = 0;
      try {
        co_await a.send(words);
      } catch (const std::system_error& e) {
        told = e.code().value();
      }
      CHECK(told == code);
      co_await a.send(words);
      const std::string got = co_await b.recv();
      CHECK(got == words);
    }
  });
}

TEST_CASE("the rest of a message follows when the system refused memory for it") {
  using text = connection<std::string, std::string>;
  run_clean([]() -> task<> {
    const listener l(address(), "key");
    const auto accepting = [&l]() -> task<text> { co_return co_await l.accept<std::string, std::string>(); };
    const auto connecting = [&l]() -> task<text> {
      co_return co_await connect<std::string, std::string>(l.address(), "key");
    };
    auto [a, b] = co_await when_all(accepting(), connecting());
    const std::string large(10 << 20, 'x');
    co_await a.send(large);  // more than the socket takes at once
    of_send = {3, ENOBUFS};
    const std::string got = co_await b.recv();
    CHECK(got == large);
    CHECK(of_send.times == 0);
  });
}
