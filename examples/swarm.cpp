// swarm [--children N] [FOLDER...]: thousands of children, alive at once, hash every file of some folders and
// count its words. The parent hands out the work as arguments, starts all children at one moment, and gathers
// typed results.
#include "brood/brood.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "swarm/report.hpp"
#include "swarm/tally.hpp"
#include "swarm/work.hpp"

namespace {

using namespace std::chrono_literals;
using swarm::figures;
using swarm::tally;

struct pipe_ends {
  brood::unique_fd read_end;
  brood::unique_fd write_end;
};

pipe_ends make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  return {brood::unique_fd(ends[0]), brood::unique_fd(ends[1])};
}

double seconds_since(brood::clock::time_point begin) {
  return std::chrono::duration<double>(brood::clock::now() - begin).count();
}

/// The children, from the first spawn to the last result.
class swarm_of_children {
 public:
  explicit swarm_of_children(swarm::work todo) : todo_(std::move(todo)) {
    measured_.children = todo_.shares.size();
    pipe_ends line = make_pipe();
    start_line_ = std::move(line.read_end);
    start_ = brood::writer(std::move(line.write_end));
    pipe_ends steps = make_pipe();
    steps_ = brood::reader(std::move(steps.read_end));
    step_writer_ = std::move(steps.write_end);
  }

  /// Starts all children and waits until each of them stands at the start line.
  brood::task<> spawn_all() {
    brood::runtime::current().measure_stalls();
    const double memory_before = swarm::memory_in_use_kib();
    const auto begin = brood::clock::now();
    while (children_.size() < todo_.shares.size()) {
      co_await spawn_some();
      co_await read_steps(0ms);
    }
    while (progress_.arrived + dead() < children_.size()) co_await read_steps(100ms);
    measured_.spawn_seconds = seconds_since(begin);
    measured_.peak_alive = children_.size() - dead();
    measured_.memory_per_child_kib =
        (swarm::memory_in_use_kib() - memory_before) / static_cast<double>(children_.size());
  }

  /// Lets them go and gathers what they find. A child that dies costs its own share only.
  brood::task<tally> count_all() {
    const auto begin = brood::clock::now();
    started_ = true;
    co_await start_.write(std::string(children_.size(), '!'));
    tally total;
    total.problems = std::move(todo_.problems);
    for (const auto& child : children_) {
      co_await brood::yield();  // many may have ended by now: others get their turn between two of them
      try {
        swarm::merge(total, co_await child.result());
      } catch (const brood::cancelled&) {
        throw;
      } catch (const brood::error& e) {
        total.problems.push_back({"the share of " + child.name(), e.what()});
        ++lost_;
      }
    }
    measured_.count_seconds = seconds_since(begin);
    measured_.stalls = brood::runtime::current().stalls();
    co_return total;
  }

  /// Reads what the children tell while they count; ends by cancellation.
  brood::task<> follow() {
    for (;;) co_await read_steps(1h);
  }

  std::string describe() const {
    if (!started_) return fmt::format("spawned {} of {} children", children_.size(), todo_.shares.size());
    const double percent =
        todo_.bytes == 0 ? 100
                         : 100.0 * static_cast<double>(progress_.bytes) / static_cast<double>(todo_.bytes);
    return fmt::format("{} of {} files, {:.1f} MB, {:.0f} %, {} children", progress_.files, todo_.files,
                       static_cast<double>(progress_.bytes) / 1e6, std::min(percent, 100.0),
                       children_.size() - dead());
  }

  const figures& measured() const noexcept { return measured_; }
  std::size_t lost() const noexcept { return lost_; }

 private:
  static constexpr std::size_t at_a_time =
      64;  // each request holds copies of its descriptors until it is served

  brood::task<> spawn_some() {
    std::vector<brood::task<>> batch;
    const std::size_t first = children_.size();
    const std::size_t last = std::min(first + at_a_time, todo_.shares.size());
    for (std::size_t i = first; i < last; ++i) batch.push_back(spawn_one(todo_.shares[i]));
    co_await brood::when_all(std::move(batch));
  }

  /// All children read the start line, a pipe, and take one byte each. Not its end, by closing the other
  /// side: that would wake them all within one system call, and the loop would stall for a tenth of a second.
  /// They are daemons, so that nothing goes on when the parent gives up.
  brood::task<> spawn_one(std::vector<std::string>& share) {
    auto spawning = brood::spawn<swarm::count_share>(share);
    std::vector<std::string>().swap(share);
    children_.push_back(co_await std::move(spawning)
                            .daemon()
                            .nice(5)  // thousands compete with one parent for the processor: it comes first

                            .stdin_(start_line_.get())
                            .stdout_(step_writer_.get()));
  }

  /// Takes what the children have told; waits up to `patience` for more.
  brood::task<> read_steps(std::chrono::milliseconds patience) {
    try {
      unparsed_ += co_await brood::with_timeout(patience, steps_.read());
    } catch (const brood::timed_out&) {
    }
    std::size_t taken = 0;
    for (swarm::step told; unparsed_.size() - taken >= sizeof told; taken += sizeof told) {
      std::memcpy(&told, unparsed_.data() + taken, sizeof told);
      progress_.arrived += told.arrived;
      progress_.files += told.files;
      progress_.bytes += told.bytes;
    }
    unparsed_.erase(0, taken);
  }

  std::size_t dead() const {
    return static_cast<std::size_t>(std::count_if(children_.begin(), children_.end(),
                                                  [](const auto& child) { return !child.is_alive(); }));
  }

  swarm::work todo_;
  std::vector<brood::process<tally>> children_;
  brood::unique_fd start_line_;
  brood::writer start_;
  bool started_ = false;
  brood::reader steps_;
  brood::unique_fd step_writer_;
  std::string unparsed_;
  swarm::step progress_;
  figures measured_;
  std::size_t lost_ = 0;
};

brood::task<> draw(const swarm_of_children& children) {
  swarm::progress_line line;
  for (;;) {
    co_await brood::sleep_for(line.period());
    line.draw(children.describe());
  }
}

brood::task<int> count_folders(std::vector<std::string> folders, std::size_t number) {
  auto divider = co_await brood::spawn<swarm::divide>(folders, number);
  swarm_of_children children(co_await divider.result());
  tally total;
  co_await brood::with_nursery([&](brood::nursery& scope) -> brood::task<> {
    scope.start(draw(children));
    co_await children.spawn_all();
    scope.start(children.follow());
    total = co_await children.count_all();
    scope.cancel();
  });
  swarm::print_problems(total.problems);
  swarm::print_table(total, children.measured());
  co_return children.lost() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  brood::options settings;
  settings.preload = swarm::load_library;
  return brood::run(argc, argv, settings, [&]() -> brood::task<int> {
    CLI::App arguments("Hashes and counts every file of some folders, in thousands of children at once.");
    std::size_t children = 2000;
    std::vector<std::string> folders;
    arguments.add_option("--children", children, "how many children")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    arguments.add_option("FOLDER", folders, "what to count (/usr/include and /usr/share)")
        ->check(CLI::ExistingPath);
    try {
      arguments.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      co_return arguments.exit(e);
    }
    if (folders.empty()) folders = {"/usr/include", "/usr/share"};
    co_return co_await count_folders(std::move(folders), children);
  });
}
