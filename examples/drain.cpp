// drain [--port N]: an HTTP server under brood::run that ends as a service should. SIGTERM: it takes no more clients, answers
// those that it has, and ends with 0. A second SIGTERM cancels what is left. SIGHUP: it counts one more configuration.
//
//   GET /            which configuration this is
//   GET /slow?ms=N   answered by a child that takes N milliseconds
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <string>
#include <system_error>
#include <thread>

#include "brood/brood.hpp"

namespace {

using namespace std::chrono_literals;

// No answer takes longer, so neither does draining.
constexpr auto longest_answer = 30s;

int configuration = 1;

int take_time(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

/// The N of "/slow?ms=N".
std::optional<int> milliseconds_in(std::string_view target) {
  constexpr std::string_view start = "/slow?ms=";
  if (!target.starts_with(start)) return std::nullopt;
  target.remove_prefix(start.size());
  int n = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), n);
  if (error != std::errc() || end != target.data() + target.size() || n < 0) return std::nullopt;
  return n;
}

std::string response(int code, const std::string& body) {
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", code,
                     code == 200 ? "OK" : "Not Found", body.size(), body);
}

brood::task<std::string> answer_to(std::string target) {
  if (target == "/") co_return response(200, fmt::format("configuration {}\n", configuration));
  const auto wanted = milliseconds_in(target);
  if (!wanted) co_return response(404, "try / or /slow?ms=1000\n");
  auto child = co_await brood::spawn<take_time>(*wanted).deadline(longest_answer).stop_within(0s);
  const int taken = co_await child.result();
  co_return response(200, fmt::format("{} ms\n", taken));
}

brood::task<> converse(brood::unique_fd socket) {
  brood::unique_fd copy(dup(socket.get()));
  brood::reader from(std::move(socket));
  brood::writer to(std::move(copy));
  const auto request = co_await from.read_line(8192);
  if (!request) co_return;
  for (;;) {  // its headers, up to the empty line
    const auto header = co_await from.read_line(8192);
    if (!header || header->empty() || *header == "\r") break;
  }
  const std::size_t begin = request->find(' ') + 1;
  std::string text = co_await answer_to(request->substr(begin, request->find(' ', begin) - begin));
  co_await to.write(std::move(text));
}

/// One client's trouble is nobody else's.
brood::task<> serve(brood::unique_fd socket) {
  try {
    co_await brood::with_timeout(longest_answer, converse(std::move(socket)));
  } catch (const brood::cancelled&) {
    throw;
  } catch (const std::exception& e) {
    fmt::print(stderr, "a client gets no answer: {}\n", e.what());
  }
}

brood::task<> accept_clients(int listener, brood::nursery& clients) {
  for (;;) {
    co_await brood::poll(listener, brood::fd_watch::readable);
    brood::unique_fd client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (client) clients.start(serve(std::move(client)));
  }
}

void check(bool done, const char* call) {
  if (!done) throw std::system_error(errno, std::system_category(), call);
}

brood::unique_fd listen_on(int port) {
  brood::unique_fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  check(bool(listener), "socket");
  const int yes = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0, "bind");
  check(listen(listener.get(), 128) == 0, "listen");
  check(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0, "getsockname");
  fmt::print("listening on http://127.0.0.1:{}\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

brood::task<int> application(int port) {
  brood::unique_fd listener = listen_on(port);
  const brood::signal_watch hang_up(brood::runtime::current(), SIGHUP, [] { ++configuration; });
  auto body = [&](brood::nursery& clients) -> brood::task<> {
    co_await brood::when_any(accept_clients(listener.get(), clients), brood::stop_requested());
    listener.reset();  // whoever connects from now on is refused, and asks another instance
    fmt::print("draining {} clients\n", clients.running());
    std::fflush(stdout);
  };
  co_await brood::with_nursery(body);  // which awaits them
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App arguments("An HTTP server that drains when it is asked to stop.");
  int port = 8080;
  arguments.add_option("--port", port, "where to listen; 0 for any")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  arguments.allow_extras();  // a child's command line is the library's
  CLI11_PARSE(arguments, argc, argv);
  brood::options settings;
  settings.signals = brood::stop_signals::event;
  return brood::run(argc, argv, settings, [port] { return application(port); });
}
