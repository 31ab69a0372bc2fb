// many [OPTION...] [COMMAND [ARGUMENT...]]: runs a command for each line of its input, so many at a time, as `xargs -P`
// and GNU parallel do; with retries, deadlines, a line that shows how far it is, and a log in JSON.
//
//   find . -name '*.gz' | many -j 8 --retries 2 --deadline 60 gunzip -k
//   many -a commands.txt --log done.json
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "brood/brood.hpp"
#include "many/job.hpp"

namespace {

using namespace std::chrono_literals;
using many::job;
using many::outcome;

struct settings {
  int at_a_time = 0;
  int retries = 0;
  double deadline = 0;  // seconds; 0: none
  bool group = false;
  bool halt = false;
  bool progress = false;
  bool zero_bytes = false;
  std::string list = "-";
  std::string log;
  std::vector<std::string> pattern;
};

/// Closed with the last of what was logged.
using log_file = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

class run_of_jobs {
 public:
  explicit run_of_jobs(settings chosen) : settings_(std::move(chosen)), log_(nullptr, &std::fclose) {
    if (settings_.log.empty()) return;
    log_.reset(std::fopen(settings_.log.c_str(), "we"));
    if (!log_) throw std::system_error(errno, std::generic_category(), settings_.log);
  }

  brood::task<int> run() {
    co_await brood::with_nursery([this](brood::nursery& scope) -> brood::task<> {
      if (settings_.progress) scope.start(show());
      co_await brood::with_nursery([this](brood::nursery& workers) -> brood::task<> {
        for (int i = 0; i < settings_.at_a_time; ++i) workers.start(work());
        co_await feed();
      });
      scope.cancel();
    });
    if (settings_.progress) fmt::print(stderr, "\r\033[K{}\n", describe());
    co_return static_cast<int>(std::min<std::uint64_t>(failed_, 101));  // as GNU parallel has it
  }

 private:
  /// The list into the queue, which holds back a list that comes faster than it is worked on.
  brood::task<> feed() {
    many::list list(settings_.list, settings_.zero_bytes ? '\0' : '\n');
    while (auto line = co_await list.next()) {
      if (halted_) break;
      if (line->empty()) continue;
      job next{++listed_, many::words_of(settings_.pattern, *line)};
      co_await jobs_.put(next);
    }
    jobs_.close();
  }

  brood::task<> work() {
    while (auto next = co_await jobs_.next()) {
      if (halted_) continue;
      ++running_;
      const outcome result = co_await run_with_retries(*next);
      --running_;
      note(*next, result);
    }
  }

  brood::task<outcome> run_with_retries(const job& job) {
    outcome result;
    result.begin = std::chrono::system_clock::now();
    const auto begin = brood::clock::now();
    for (auto pause = 100ms;; pause *= 2) {
      ++result.attempts;
      co_await attempt(job, result);
      if (result.success() || result.attempts > settings_.retries) break;
      co_await brood::sleep_for(pause);
    }
    result.seconds = std::chrono::duration<double>(brood::clock::now() - begin).count();
    co_return result;
  }

  brood::command command_of(const job& job) const {
    brood::command plain =
        brood::command(job.words.front()).args(std::span(job.words).subspan(1)).stdin_(brood::null);
    if (settings_.deadline <= 0) return plain;
    return std::move(plain).deadline(std::chrono::duration<double>(settings_.deadline));
  }

  brood::task<> attempt(const job& job, outcome& result) {
    result.error.clear();
    brood::command command = command_of(job);
    try {
      if (settings_.group) {
        const brood::command_output output = co_await std::move(command).output();
        result.status = output.status;
        std::fwrite(output.out.data(), 1, output.out.size(), stdout);
        std::fflush(stdout);
        std::fwrite(output.err.data(), 1, output.err.size(), stderr);
      } else {
        result.status = co_await std::move(command).status();
      }
    } catch (const std::system_error& e) {
      result.error = e.what();
    }
  }

  void note(const job& job, const outcome& result) {
    ++done_;
    if (log_) {
      const std::string line = many::log_line(job, result);
      std::fwrite(line.data(), 1, line.size(), log_.get());
    }
    if (result.success()) return;
    ++failed_;
    const std::string why = result.error.empty() ? brood::describe(result.status) : result.error;
    fmt::print(stderr, "{}many: job {} ({}): {}\n", settings_.progress ? "\r\033[K" : "", job.number,
               fmt::join(job.words, " "), why);
    halted_ = halted_ || settings_.halt;
  }

  brood::task<> show() {
    for (;;) {
      co_await brood::sleep_for(100ms);
      fmt::print(stderr, "\r\033[K{}", describe());
    }
  }

  std::string describe() const {
    const std::chrono::duration<double> time = brood::clock::now() - begin_;
    return fmt::format("{} done, {} failed, {} running, {} waiting, {:.0f} a second", done_, failed_,
                       running_, jobs_.size(), static_cast<double>(done_) / time.count());
  }

  settings settings_;
  log_file log_;
  brood::queue<job> jobs_{1024};
  brood::clock::time_point begin_ = brood::clock::now();
  std::uint64_t listed_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t failed_ = 0;
  int running_ = 0;
  bool halted_ = false;
};

brood::task<int> application(std::vector<std::string> command_line) {
  settings chosen;
  chosen.at_a_time = brood::cpu_count();
  chosen.progress = isatty(STDERR_FILENO) == 1;
  CLI::App arguments(
      "many [OPTION...] [COMMAND [ARGUMENT...]]: runs COMMAND for each line of its input: {} in it stands "
      "for the line, which is appended if it stands "
      "nowhere. Without COMMAND each line is one for the shell.");
  arguments.prefix_command();
  arguments.add_option("-j,--jobs", chosen.at_a_time, "how many at a time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  arguments
      .add_option("--retries", chosen.retries,
                  "how often to try again what failed, after 0.1, 0.2, 0.4, ... seconds")
      ->check(CLI::Range(0, 1000));
  arguments
      .add_option("--deadline", chosen.deadline, "seconds after which a job is killed with its whole tree")
      ->check(CLI::PositiveNumber);
  arguments.add_option("-a,--arg-file", chosen.list, "where the list is; - is standard input")
      ->capture_default_str();
  arguments.add_option("--log", chosen.log, "a file that gets a line of JSON for each job");
  arguments.add_flag("-0,--null", chosen.zero_bytes, "the list has zero bytes instead of newlines");
  arguments.add_flag("-g,--group", chosen.group,
                     "print what a job writes when it has ended, and not mixed with that of others");
  arguments.add_flag("--halt", chosen.halt, "begin no more jobs once one has failed");
  arguments.add_flag("--progress,!--no-progress", chosen.progress,
                     "show how far it is (default: on a terminal)");
  try {
    std::vector<std::string> words(command_line.rbegin(),
                                   command_line.rend() - 1);  // CLI11 wants them backwards
    arguments.parse(words);
  } catch (const CLI::ParseError& e) {
    co_return arguments.exit(e);
  }
  chosen.pattern = arguments.remaining();
  if (!chosen.pattern.empty() && chosen.pattern.front() == "--") chosen.pattern.erase(chosen.pattern.begin());
  run_of_jobs jobs(std::move(chosen));
  co_return co_await jobs.run();
}

}  // namespace

int main(int argc, char** argv) { return brood::run(argc, argv, application); }
