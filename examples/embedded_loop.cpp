// embedded_loop [--port N]: an HTTP server on a libuv loop of its own, which was there before brood, whose handlers
// await a pool. The loop goes on serving while its workers compute.
//
//   GET /health        answered at once
//   GET /primes?n=N    how many primes there are below N, counted by a worker
#include <fmt/core.h>
#include <uv.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <string>

#include "brood/brood.hpp"

namespace {

using namespace std::chrono_literals;

// --- what runs in workers ---

std::uint64_t count_primes_below(std::uint64_t n) {
  std::vector<bool> composite(n, false);
  std::uint64_t count = 0;
  for (std::uint64_t i = 2; i < n; ++i) {
    if (composite[i]) continue;
    ++count;
    for (std::uint64_t multiple = i * i; multiple < n; multiple += i) composite[multiple] = true;
  }
  return count;
}

// --- the server as it was: plain libuv ---

struct connection;

struct server {
  uv_tcp_t listener{};
  uv_signal_t interrupt{};
  uv_signal_t terminate{};
  brood::runtime* tasks = nullptr;
  brood::pool* workers = nullptr;
};

/// Alive while libuv or a handler has to do with it.
struct connection : std::enable_shared_from_this<connection> {
  uv_tcp_t socket{};
  uv_write_t writing{};
  std::string request;
  std::string response;
  std::shared_ptr<connection> kept_by_libuv;

  void close() {
    const auto handle = reinterpret_cast<uv_handle_t*>(&socket);
    if (uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* h) { static_cast<connection*>(h->data)->kept_by_libuv.reset(); });
  }

  void answer(int code, const std::string& body) {
    if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&socket))) return;  // the client has gone
    response = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        code, code == 200 ? "OK" : "Error", body.size(), body);
    uv_buf_t buffer = uv_buf_init(response.data(), static_cast<unsigned>(response.size()));
    const auto written = [](uv_write_t* w, int) { static_cast<connection*>(w->handle->data)->close(); };
    if (uv_write(&writing, reinterpret_cast<uv_stream_t*>(&socket), &buffer, 1, written) != 0) close();
  }
};

/// The N of "/primes?n=N".
std::optional<std::uint64_t> limit_in(std::string_view target) {
  constexpr std::string_view start = "/primes?n=";
  if (!target.starts_with(start)) return std::nullopt;
  target.remove_prefix(start.size());
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), n);
  if (error != std::errc() || end != target.data() + target.size() || n > 100'000'000) return std::nullopt;
  return n;
}

// --- what is new: a handler that awaits a pool ---

brood::task<> answer_with_primes(brood::pool workers, std::shared_ptr<connection> client, std::uint64_t n) {
  try {
    const std::uint64_t count = co_await workers.apply<count_primes_below>(n).deadline(10s);
    client->answer(200, fmt::format("{}\n", count));
  } catch (const brood::error& e) {  // its worker died, or had to, or the server is about to end
    client->answer(503, fmt::format("{}\n", e.what()));
  }
}

void handle(server& here, connection& client) {
  const std::size_t begin = client.request.find(' ') + 1;
  const std::string_view target =
      std::string_view(client.request).substr(begin, client.request.find(' ', begin) - begin);
  if (target == "/health") {
    client.answer(200, "well\n");
  } else if (const auto n = limit_in(target)) {
    here.tasks->start(answer_with_primes(*here.workers, client.shared_from_this(), *n));
  } else {
    client.answer(404, "try /health or /primes?n=1000\n");
  }
}

// --- plain libuv again ---

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  auto& client = *static_cast<connection*>(stream->data);
  if (count > 0) client.request.append(buffer->base, static_cast<std::size_t>(count));
  delete[] buffer->base;
  if (count < 0 || client.request.size() > 16'384) return client.close();
  if (client.request.find("\r\n\r\n") == std::string::npos) return;
  uv_read_stop(stream);
  handle(*static_cast<server*>(stream->loop->data), client);
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto client = std::make_shared<connection>();
  uv_tcp_init(listener->loop, &client->socket);
  client->socket.data = client.get();
  client->kept_by_libuv = client;
  const auto stream = reinterpret_cast<uv_stream_t*>(&client->socket);
  if (uv_accept(listener, stream) != 0) return client->close();
  uv_read_start(
      stream,
      [](uv_handle_t*, std::size_t size, uv_buf_t* buffer) {
        *buffer = uv_buf_init(new char[size], static_cast<unsigned>(size));
      },
      on_read);
}

void stop(uv_signal_t* signal, int) {
  auto& here = *static_cast<server*>(signal->loop->data);
  uv_close(reinterpret_cast<uv_handle_t*>(&here.listener), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&here.interrupt), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&here.terminate), nullptr);
  here.tasks->start(here.workers->close());  // what was asked for is answered first
}

void check(int result, const char* call) {
  if (result < 0) throw std::runtime_error(fmt::format("{}: {}", call, uv_strerror(result)));
}

void listen(server& here, uv_loop_t& loop, int port) {
  loop.data = &here;
  sockaddr_in address{};
  check(uv_ip4_addr("127.0.0.1", port, &address), "uv_ip4_addr");
  check(uv_tcp_init(&loop, &here.listener), "uv_tcp_init");
  check(uv_tcp_bind(&here.listener, reinterpret_cast<const sockaddr*>(&address), 0), "uv_tcp_bind");
  check(uv_listen(reinterpret_cast<uv_stream_t*>(&here.listener), 128, on_connection), "uv_listen");
  check(uv_signal_init(&loop, &here.interrupt), "uv_signal_init");
  check(uv_signal_start(&here.interrupt, stop, SIGINT), "uv_signal_start");
  check(uv_signal_init(&loop, &here.terminate), "uv_signal_init");
  check(uv_signal_start(&here.terminate, stop, SIGTERM), "uv_signal_start");
  int length = sizeof address;
  check(uv_tcp_getsockname(&here.listener, reinterpret_cast<sockaddr*>(&address), &length),
        "uv_tcp_getsockname");
  fmt::print("listening on http://127.0.0.1:{}\n", ntohs(address.sin_port));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    brood::init(argc, argv);  // before the loop, and before there are threads
    CLI::App arguments("An HTTP server on a libuv loop whose handlers await a pool.");
    int port = 8080;
    arguments.add_option("--port", port, "where to listen; 0 for any")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    CLI11_PARSE(arguments, argc, argv);
    uv_loop_t loop;
    check(uv_loop_init(&loop), "uv_loop_init");
    server here;
    {
      brood::runtime tasks(&loop);
      brood::pool workers = tasks.run_until_complete(brood::pool::open());
      here.tasks = &tasks;
      here.workers = &workers;
      listen(here, loop, port);
      uv_run(&loop, UV_RUN_DEFAULT);  // until a signal, and then until the pool is closed
    }
    return uv_loop_close(&loop) == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
