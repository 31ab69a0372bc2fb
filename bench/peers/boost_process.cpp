// Boost.Process v2 on an Asio loop, the usual C++ way to start programs without blocking.
#define BOOST_PROCESS_USE_STD_FS 1
#define BOOST_PROCESS_V2_SEPARATE_COMPILATION 1
// Without Boost.Filesystem these headers of 1.81 forget what they need.
#include <boost/optional.hpp>
#include <boost/type_traits.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/src.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "../measure.hpp"

namespace {

namespace asio = boost::asio;
namespace process = boost::process::v2;

/// Starts `count` programs with at most `in_flight` alive.
class spawner {
 public:
  spawner(int count, std::string program) : left_(count), program_(std::move(program)) {}

  void run(int in_flight) {
    for (int i = 0; i < in_flight && left_ > 0; ++i) start_one();
    loop_.run();
    bench::require(left_ == 0 && alive_ == 0 && wrong_ == 0, "exit status");
  }

 private:
  void start_one() {
    --left_;
    ++alive_;
    auto child =
        std::make_unique<process::process>(loop_, program_, std::initializer_list<process::string_view>{});
    auto& started = *child;
    started.async_wait(
        [this, owned = std::move(child)](const boost::system::error_code& error, int exit_code) mutable {
          owned.reset();
          --alive_;
          wrong_ += error.failed() || exit_code != 0;
          if (left_ > 0) start_one();
        });
  }

  asio::io_context loop_;
  int left_;
  int alive_ = 0;
  int wrong_ = 0;
  std::string program_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Boost.Process v2: programs a second");
  int count = 1000;
  int in_flight = 1;
  std::size_t heap_mib = 0;
  std::string program = "/bin/true";
  app.add_option("--count", count, "programs");
  app.add_option("--in-flight", in_flight, "how many may be alive at once");
  app.add_option("--heap-mib", heap_mib, "touched memory of the parent");
  app.add_option("--program", program, "what to start");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    const bench::touched_heap heap(heap_mib);
    spawner children(count, program);
    const double begin = bench::wall_clock();
    children.run(in_flight);
    bench::report(count / (bench::wall_clock() - begin));
  });
}
