// Boost.Asio's coroutines: from one to the next of two that post themselves to the loop in turn.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <CLI/CLI.hpp>

#include "../measure.hpp"

namespace {

namespace asio = boost::asio;

asio::awaitable<void> yielding(asio::io_context& loop, long turns, long& done) {
  for (long i = 0; i < turns; ++i) {
    co_await asio::post(loop, asio::use_awaitable);
    ++done;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Boost.Asio: nanoseconds from one coroutine to the next");
  long count = 1'000'000;
  app.add_option("--count", count, "switches");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    asio::io_context loop(1);
    long done = 0;
    for (int i = 0; i < 2; ++i) asio::co_spawn(loop, yielding(loop, count / 2, done), asio::detached);
    const double begin = bench::cpu_clock();
    loop.run();
    const double elapsed = bench::cpu_clock() - begin;
    bench::require(done == count / 2 * 2, "a coroutine did not end");
    bench::report(elapsed / static_cast<double>(done) * 1e9);
  });
}
