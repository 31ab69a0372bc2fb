// swarm [--children N] [--chaos] [FOLDER...]: thousands of children, alive at once, hash every file of some
// folders and count its words. The parent hands out the files through one queue, on lease, and gathers typed
// results through another. With --chaos a tenth of the children is killed meanwhile, and every file is still
// counted once.
#include "brood/brood.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <random>
#include <span>

#include "swarm/report.hpp"
#include "swarm/tally.hpp"
#include "swarm/work.hpp"

namespace {

using namespace std::chrono_literals;
using swarm::figures;
using swarm::tally;

double seconds_since(brood::clock::time_point begin) {
  return std::chrono::duration<double>(brood::clock::now() - begin).count();
}

/// The children, from the first spawn to the last result.
class swarm_of_children {
 public:
  swarm_of_children(std::size_t number, swarm::work work, bool chaos)
      : number_(number), chaos_(chaos), work_(std::move(work)), counted_(work_.batches.size()) {
    total_.problems = std::move(work_.problems);
  }

  /// Starts all children and waits until each of them waits for work.
  brood::task<> spawn_all() {
    brood::runtime::current().measure_stalls();
    const double memory_before = swarm::memory_in_use_kib();
    const auto begin = brood::clock::now();
    while (children_.size() < number_) co_await spawn_some();
    while (todo_.waiting_consumers() + dead() < number_) co_await brood::sleep_for(5ms);
    measured_.spawn_seconds = seconds_since(begin);
    measured_.children = number_;
    measured_.peak_alive = number_ - dead();
    measured_.memory_per_child_kib =
        (swarm::memory_in_use_kib() - memory_before) / static_cast<double>(number_);
  }

  /// Hands out the work and gathers what they find. A child that dies costs time, unless it is the last.
  brood::task<> count_all() {
    const auto begin = brood::clock::now();
    // Victims are taken from the front.
    if (chaos_) std::shuffle(children_.begin(), children_.end(), std::mt19937(std::random_device()()));
    co_await brood::with_nursery([&](brood::nursery& scope) -> brood::task<> {
      scope.start(hand_out());
      scope.start(see_them_end());
      while (auto result = co_await results_.next()) {
        take(std::move(*result));
        kill_some();
        close_in_time();
      }
      scope.cancel();  // if no child is left, nobody takes the rest
    });
    report_what_is_left();
    measured_.count_seconds = seconds_since(begin);
    measured_.stalls = brood::runtime::current().stalls();
  }

  std::string describe() const {
    if (measured_.children == 0) return fmt::format("spawned {} of {} children", children_.size(), number_);
    const double percent =
        work_.bytes == 0 ? 100 : 100.0 * static_cast<double>(total_.bytes) / static_cast<double>(work_.bytes);
    return fmt::format("{} of {} files, {:.1f} MB, {:.0f} %, {} children", total_.files, work_.files,
                       static_cast<double>(total_.bytes) / 1e6, std::min(percent, 100.0), number_ - dead());
  }

  const tally& total() const noexcept { return total_; }
  const figures& measured() const noexcept { return measured_; }
  /// Everything was counted, and no child died that this did not kill.
  bool well() const noexcept { return counted_batches_ == counted_.size() && failed_ == 0; }

 private:
  /// Daemons, so that nothing goes on when the parent gives up; nice, as thousands compete with one parent for the
  /// processor: it comes first.
  brood::task<> spawn_some() {
    constexpr std::size_t at_a_time = 64;
    std::vector<brood::spawn_operation<void>> batch;
    while (batch.size() < std::min(at_a_time, number_ - children_.size())) {
      batch.push_back(brood::spawn<swarm::count_batches>(todo_, results_).daemon().nice(5));
    }
    for (auto& child : co_await brood::when_all(std::move(batch))) children_.push_back(std::move(child));
  }

  brood::task<> hand_out() {
    co_await todo_.put_many(std::span<const swarm::batch>(work_.batches));
    handed_out_ = true;
    close_in_time();
  }

  /// Closed, the queue ends those who wait for more: once every batch is done with, as one that is on lease
  /// may come back. Every victim is to be among the living when it is killed, so those come first.
  void close_in_time() {
    if (handed_out_ && killed_ == victims()) todo_.close();
  }

  /// Then no more results can come.
  brood::task<> see_them_end() {
    for (std::size_t i = 0; i < children_.size(); ++i) {
      co_await brood::yield();  // many may have ended by now: others get their turn between two of them
      try {
        co_await children_[i].result();
      } catch (const brood::child_died& e) {
        ++measured_.died;
        if (i < killed_ && e.status().signal == SIGKILL) continue;
        report_failure(e);
      } catch (const brood::remote_error& e) {
        report_failure(e);
      }
    }
    results_.close();
  }

  void report_failure(const brood::error& e) {
    ++failed_;
    swarm::print_failure(e.what());
  }

  /// A child that dies between its `put` and its `done` leaves its result here, and its batch to another
  /// child: a lease promises that a batch is dealt with at least once. Its index makes that once.
  void take(swarm::batch_result result) {
    if (counted_[result.index]) {
      ++measured_.dropped;
      return;
    }
    counted_[result.index] = true;
    ++counted_batches_;
    swarm::merge(total_, std::move(result.found));
  }

  std::size_t victims() const { return chaos_ && !counted_.empty() ? number_ / 10 : 0; }

  /// Evenly while the first half of the results comes in.
  void kill_some() {
    const std::size_t due = std::min(victims(), 2 * victims() * counted_batches_ / counted_.size());
    for (; killed_ < due; ++killed_) children_[killed_].kill();
  }

  void report_what_is_left() {
    for (const swarm::batch& left : work_.batches) {
      if (counted_[left.index]) continue;
      for (const auto& path : left.paths) total_.problems.push_back({path, "no child is left"});
    }
  }

  std::size_t dead() const {
    return static_cast<std::size_t>(std::count_if(children_.begin(), children_.end(),
                                                  [](const auto& child) { return !child.is_alive(); }));
  }

  std::size_t number_;
  bool chaos_;
  swarm::work work_;
  std::vector<bool> counted_;  // by the batch's index
  std::size_t counted_batches_ = 0;
  brood::queue<swarm::batch> todo_;
  brood::queue<swarm::batch_result> results_;
  std::vector<brood::process<void>> children_;
  bool handed_out_ = false;
  std::size_t killed_ = 0;
  std::size_t failed_ = 0;
  tally total_;
  figures measured_;
};

brood::task<> draw(const swarm_of_children& children) {
  swarm::progress_line line;
  for (;;) {
    co_await brood::sleep_for(line.period());
    line.draw(children.describe());
  }
}

brood::task<int> count_folders(std::vector<std::string> folders, std::size_t number, bool chaos) {
  auto divider = co_await brood::spawn<swarm::divide>(folders);
  swarm_of_children children(number, co_await divider.result(), chaos);
  co_await brood::with_nursery([&](brood::nursery& scope) -> brood::task<> {
    scope.start(draw(children));
    co_await children.spawn_all();
    co_await children.count_all();
    scope.cancel();
  });
  swarm::print_problems(children.total().problems);
  swarm::print_table(children.total(), children.measured());
  co_return children.well() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return brood::run(argc, argv, [&]() -> brood::task<int> {
    CLI::App arguments("Hashes and counts every file of some folders, in thousands of children at once.");
    std::size_t children = 2000;
    bool chaos = false;
    std::vector<std::string> folders;
    arguments.add_option("--children", children, "how many children")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    arguments.add_flag("--chaos", chaos, "kill a tenth of the children at random while they count");
    arguments.add_option("FOLDER", folders, "what to count (/usr/include and /usr/share)")
        ->check(CLI::ExistingPath);
    try {
      arguments.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      co_return arguments.exit(e);
    }
    if (folders.empty()) folders = {"/usr/include", "/usr/share"};
    co_return co_await count_folders(std::move(folders), children, chaos);
  });
}
