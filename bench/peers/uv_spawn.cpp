// libuv's own process API, the usual way to start programs from a libuv loop.
#include <uv.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../measure.hpp"

namespace {

void uv_checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(fmt::format("{}: {}", what, uv_strerror(result)));
}

/// How long the loop was busy between two looks at its events, in milliseconds: the time of one turn without the part
/// that it slept, of which libuv keeps account.
class stall_meter {
 public:
  explicit stall_meter(uv_loop_t* loop) : loop_(loop) {
    uv_checked(uv_loop_configure(loop, UV_METRICS_IDLE_TIME), "uv_loop_configure");
    uv_prepare_init(loop, &prepare_);
    prepare_.data = this;
    uv_prepare_start(&prepare_,
                     [](uv_prepare_t* handle) { static_cast<stall_meter*>(handle->data)->turn(); });
    uv_unref(reinterpret_cast<uv_handle_t*>(&prepare_));
  }
  stall_meter(const stall_meter&) = delete;
  stall_meter& operator=(const stall_meter&) = delete;

  void stop() {
    uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), nullptr);
    uv_run(loop_, UV_RUN_DEFAULT);
  }

  double p99() {
    bench::require(!turns_.empty(), "the loop never turned");
    const auto at = turns_.begin() + static_cast<std::ptrdiff_t>(turns_.size() * 99 / 100);
    std::nth_element(turns_.begin(), at, turns_.end());
    return *at;
  }

 private:
  void turn() {
    const std::uint64_t now = uv_hrtime();
    const std::uint64_t slept = uv_metrics_idle_time(loop_);
    if (turn_began_ != 0)
      turns_.push_back(static_cast<double>((now - turn_began_) - (slept - slept_)) * 1e-6);
    turn_began_ = now;
    slept_ = slept;
  }

  uv_loop_t* loop_;
  uv_prepare_t prepare_{};
  std::uint64_t turn_began_ = 0;
  std::uint64_t slept_ = 0;
  std::vector<double> turns_;
};

/// Starts `count` programs with at most `in_flight` alive.
class spawner {
 public:
  spawner(uv_loop_t* loop, int count, int in_flight, std::string program)
      : loop_(loop), left_(count), in_flight_(in_flight), program_(std::move(program)) {}
  spawner(const spawner&) = delete;
  spawner& operator=(const spawner&) = delete;

  /// Starts what may be started now, one program a turn of the loop as a server would, the rest as others end.
  void start() {
    uv_idle_init(loop_, &idle_);
    idle_.data = this;
    uv_idle_start(&idle_, [](uv_idle_t* handle) { static_cast<spawner*>(handle->data)->fill(); });
  }

  void require_all_done() const { bench::require(left_ == 0 && alive_ == 0 && wrong_ == 0, "exit status"); }

 private:
  void fill() {
    if (left_ > 0 && alive_ < in_flight_) start_one();
    if (left_ == 0 || alive_ == in_flight_) uv_idle_stop(&idle_);
    if (left_ == 0) uv_close(reinterpret_cast<uv_handle_t*>(&idle_), nullptr);
  }

  void start_one() {
    char* arguments[] = {program_.data(), nullptr};
    uv_process_options_t options{};
    options.file = program_.c_str();
    options.args = arguments;
    options.exit_cb = [](uv_process_t* process, std::int64_t exit_code, int signal) {
      auto& self = *static_cast<spawner*>(process->data);
      --self.alive_;
      self.wrong_ += exit_code != 0 || signal != 0;
      uv_close(reinterpret_cast<uv_handle_t*>(process),
               [](uv_handle_t* handle) { delete reinterpret_cast<uv_process_t*>(handle); });
      if (self.left_ > 0) self.start_one();
      if (self.left_ == 0 && !uv_is_closing(reinterpret_cast<uv_handle_t*>(&self.idle_))) {
        uv_close(reinterpret_cast<uv_handle_t*>(&self.idle_), nullptr);
      }
    };
    auto process = std::make_unique<uv_process_t>();
    process->data = this;
    uv_checked(uv_spawn(loop_, process.get(), &options), "uv_spawn");
    process.release();
    --left_;
    ++alive_;
  }

  uv_loop_t* loop_;
  uv_idle_t idle_{};
  int left_;
  int in_flight_;
  int alive_ = 0;
  int wrong_ = 0;
  std::string program_;
};

double rate(int count, int in_flight, const std::string& program) {
  spawner children(uv_default_loop(), count, in_flight, program);
  const double begin = bench::wall_clock();
  children.start();
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  const double elapsed = bench::wall_clock() - begin;
  children.require_all_done();
  return count / elapsed;
}

double stall(int count, int in_flight, const std::string& program) {
  uv_loop_t* loop = uv_default_loop();
  stall_meter meter(loop);
  spawner children(loop, count, in_flight, program);
  children.start();
  uv_run(loop, UV_RUN_DEFAULT);
  children.require_all_done();
  meter.stop();
  return meter.p99();
}

/// The same loop with nothing to do but a timer each millisecond, while another process forks as many children: what
/// is left of the stall is the machine's.
double stall_of_an_onlooker(int count, int in_flight) {
  const pid_t forker = bench::checked(fork(), "fork");
  if (forker == 0) {
    _exit(bench::guarded([&] {
      int alive = 0;
      for (int started = 0; started < count || alive > 0;) {
        if (started < count && alive < in_flight) {
          if (bench::checked(fork(), "fork") == 0) _exit(0);
          ++started;
          ++alive;
        } else {
          int status = 0;
          bench::checked(waitpid(-1, &status, 0), "waitpid");
          bench::require_success(status);
          --alive;
        }
      }
    }));
  }
  uv_loop_t* loop = uv_default_loop();
  stall_meter meter(loop);
  struct onlooker {
    uv_timer_t timer;
    pid_t forker;
    int status = 0;
  } self{{}, forker};
  uv_timer_init(loop, &self.timer);
  self.timer.data = &self;
  uv_checked(uv_timer_start(
                 &self.timer,
                 [](uv_timer_t* timer) {
                   auto& watching = *static_cast<onlooker*>(timer->data);
                   if (waitpid(watching.forker, &watching.status, WNOHANG) != 0) {
                     uv_close(reinterpret_cast<uv_handle_t*>(timer), nullptr);
                   }
                 },
                 1, 1),
             "uv_timer_start");
  uv_run(loop, UV_RUN_DEFAULT);
  bench::require_success(self.status);
  meter.stop();
  return meter.p99();
}

/// Programs that pause until they are killed. `uv_spawn` returns once a program has replaced its fork.
class idle_programs {
 public:
  explicit idle_programs(std::string program) : program_(std::move(program)) {}
  idle_programs(const idle_programs&) = delete;
  idle_programs& operator=(const idle_programs&) = delete;
  ~idle_programs() {
    for (const auto& process : processes_) {
      if (process) uv_process_kill(process.get(), SIGKILL);
    }
  }

  void start(int count) {
    char pausing[] = "pause";
    char* arguments[] = {program_.data(), pausing, nullptr};
    for (int i = 0; i < count; ++i) {
      uv_process_options_t options{};
      options.file = program_.c_str();
      options.args = arguments;
      options.exit_cb = [](uv_process_t* process, std::int64_t, int signal) {
        auto& self = *static_cast<idle_programs*>(process->data);
        ++self.ended_;
        self.wrong_ += signal != SIGTERM;
      };
      auto process = std::make_unique<uv_process_t>();
      process->data = this;
      uv_checked(uv_spawn(loop_, process.get(), &options), "uv_spawn");
      processes_.push_back(std::move(process));
    }
  }

  void end(std::size_t index) {
    uv_checked(uv_process_kill(processes_[index].get(), SIGTERM), "uv_process_kill");
  }

  void wait_until_ended(std::size_t count) {
    while (ended_ < count) uv_run(loop_, UV_RUN_ONCE);
    bench::require(wrong_ == 0, "exit status");
  }

  /// CPU seconds of this process for one exit: from the end of the child to its callback.
  double exit_cost(int exits) {
    std::vector<double> costs;
    for (int i = 0; i < exits; ++i) {
      end(processes_.size() / 2 + static_cast<std::size_t>(i));
      const double begin = bench::cpu_clock();
      wait_until_ended(static_cast<std::size_t>(i) + 1);
      costs.push_back(bench::cpu_clock() - begin);
    }
    return bench::median(costs);
  }

 private:
  uv_loop_t* loop_ = uv_default_loop();
  std::string program_;
  std::vector<std::unique_ptr<uv_process_t>> processes_;
  std::size_t ended_ = 0;
  int wrong_ = 0;
};

double seconds_until_all_run(int count, const std::string& program) {
  idle_programs children(program);
  const double begin = bench::wall_clock();
  children.start(count);
  return bench::wall_clock() - begin;
}

/// In a process of its own, because ending the rest one by one would cost minutes: the destructor kills them, and they
/// are reaped by the system once that process has ended.
double exit_cost_among(int alive, int exits, const std::string& program) {
  int answer[2];
  bench::checked(pipe(answer), "pipe");
  const pid_t worker = bench::checked(fork(), "fork");
  if (worker == 0) {
    _exit(bench::guarded([&] {
      uv_checked(uv_loop_fork(uv_default_loop()), "uv_loop_fork");
      idle_programs children(program);
      children.start(alive + exits);
      const double cost = children.exit_cost(exits);
      bench::require(write(answer[1], &cost, sizeof cost) == sizeof cost, "write");
    }));
  }
  close(answer[1]);
  double cost = 0;
  const auto got = read(answer[0], &cost, sizeof cost);
  close(answer[0]);
  int status = 0;
  bench::checked(waitpid(worker, &status, 0), "waitpid");
  bench::require_success(status);
  bench::require(got == sizeof cost, "no answer");
  return cost;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("uv_spawn");
  app.require_subcommand(1);
  app.fallthrough();
  int count = 1000;
  int in_flight = 1;
  int exits = 100;
  std::size_t heap_mib = 0;
  bool elsewhere = false;
  std::string program = "/bin/true";
  app.add_option("--count", count, "programs");
  app.add_option("--in-flight", in_flight, "how many may be alive at once");
  app.add_option("--heap-mib", heap_mib, "touched memory of the parent");
  app.add_option("--program", program, "what to start");

  CLI::App& spawn_rate = *app.add_subcommand("rate", "programs a second");
  CLI::App& stall_p99 = *app.add_subcommand("stall", "99th percentile of the loop's busy times, in ms");
  stall_p99.add_flag("--elsewhere", elsewhere, "another process forks, this loop looks on");
  CLI::App& live = *app.add_subcommand("live", "seconds until `count` programs that pause have been started");
  CLI::App& ratio =
      *app.add_subcommand("exit-cost-ratio", "cost of an exit among `count` children over one in 100");
  ratio.add_option("--exits", exits, "how many exits to average");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    const bench::touched_heap heap(heap_mib);
    if (spawn_rate) bench::report(rate(count, in_flight, program));
    if (stall_p99) {
      bench::report(elsewhere ? stall_of_an_onlooker(count, in_flight) : stall(count, in_flight, program));
    }
    if (live) bench::report(seconds_until_all_run(count, program));
    if (ratio) {
      const double among_few = exit_cost_among(100, exits, program);
      const double among_many = exit_cost_among(count, exits, program);
      bench::report_ratio(among_many, among_few);
    }
  });
}
