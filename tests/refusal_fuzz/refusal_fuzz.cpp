// The refusal fuzz: each use of each system call and each allocation is refused once, in each scenario, with each errno that
// the system can give. After each: who waited got a typed error or nothing happened at all, nobody hangs, the next
// operation works, and descriptors, children and the arena's accounts are what they are without a refusal.
//
//   refusal_fuzz [--seconds S] [--uses N] [--jobs J] [--scenario NAME [--who ROLE --call NAME --use N --error E]]
//
// Every run is a family of its own. The first run of a scenario counts the uses of each call; what follows is all of them,
// or with --seconds a part spread over all.
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "arena_use.hpp"
#include "brood/brood.hpp"
#include "leftovers.hpp"
#include "plan.hpp"
#include "scenarios.hpp"

using namespace refusal_fuzz;

namespace {

constexpr unsigned patience = 20;  // seconds for a run, after which somebody hangs

struct settings {
  double seconds = 0;  // 0: all there is
  std::uint32_t uses = 20;
  std::uint32_t allocations = 400;  // their uses, as each is another place
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  std::string scenario, who, call;
  std::uint32_t use = 0;
  int error = 0;
};

enum class outcome : int { nothing_happened, typed_error, finding };

/// What is left when a scenario has run, and run again.
struct remains {
  long descriptors = 0;
  std::uint64_t children = 0, processes = 0, kinds = 0;
  std::uint64_t blocks[64] = {};
  friend bool operator==(const remains&, const remains&) = default;
  std::string text() const {
    return fmt::format("{} descriptors, {} children, {} processes, {} blocks", descriptors, children,
                       processes, std::accumulate(std::begin(blocks), std::end(blocks), std::uint64_t{0}));
  }
};

/// What a run tells the fuzz, in memory that both have.
struct report {
  outcome result;
  remains left;
  char text[400];
  void find(const std::string& what) noexcept {
    if (result == outcome::finding) return;  // the first is the cause
    result = outcome::finding;
    std::strncpy(text, what.c_str(), sizeof text - 1);
  }
};

template <class T>
T* share() {
  void* where = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED) std::abort();
  return new (where) T{};
}

report* told = nullptr;

// ---- a run, in a process of its own ----

/// Also of the fork server and of children, which are its clones.
[[noreturn]] void note_terminate() {
  plan& p = the_plan();
  p.counting = false;
  if (p.depth == 0) p.depth = ::backtrace(p.where, static_cast<int>(std::size(p.where)));  // a child's
  std::string what = "no exception";
  if (std::current_exception()) {
    try {
      throw;
    } catch (const std::exception& e) {
      what = e.what();
    } catch (...) {
      what = "an unknown exception";
    }
  }
  const char* who = ::getpid() == the_plan().root     ? "root"
                    : ::getpid() == the_plan().server ? "server"
                                                      : "child";
  told->find(fmt::format("std::terminate in the {}: {}", who, what));
  ::abort();
}

remains what_is_left() {
  remains result;
  const leftovers here = leftovers::now();
  result.descriptors = here.descriptors;
  result.children = here.children.size();
  result.processes = processes_in_use();
  const auto blocks = blocks_in_use();
  result.kinds = blocks.size();
  std::copy_n(blocks.begin(), std::min(blocks.size(), std::size(result.blocks)), result.blocks);
  return result;
}

/// Empty, or the typed error. What is none is a finding.
std::string attempt(const scenario& s) {
  try {
    brood::runtime loop;
    loop.run_until_complete(s.body());
    return "";
  } catch (const wrong& w) {
    told->find(w.what);
  } catch (const std::logic_error& e) {
    told->find(std::string("no typed error: ") + e.what());
  } catch (const std::exception& e) {
    const aside harness;
    const std::string what = e.what();
    for (const char* crash : {"signal 6", "signal 11", "SIGABRT", "SIGSEGV"})
      if (what.find(crash) != std::string::npos) told->find("a child crashed: " + what);
    return what.empty() ? "an error without a word" : what;
  } catch (...) {
    told->find("no typed error");
  }
  return "nothing typed";
}

[[noreturn]] void run(const scenario& s, const choice& chosen, const remains* reference, char* program) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(patience);
  std::set_terminate(note_terminate);
  begin(chosen);
  plan& p = the_plan();
  told->result = outcome::nothing_happened;
  brood::options options;
  options.model = s.model;
  options.arena_size = std::size_t{64} << 20;
  char* arguments[] = {program, nullptr};
  try {
    p.counting = s.from_the_start;
    brood::init(1, arguments, options);
  } catch (const std::exception& e) {
    p.counting = false;
    if (!p.refused) told->find(std::string("init fails by itself: ") + e.what());
    if (told->result != outcome::finding) told->result = outcome::typed_error;
    std::exit(0);
  }
  p.counting = true;
  const std::string error = attempt(s);
  p.counting = false;
  if (!error.empty() && !p.refused) told->find("fails though nothing was refused: " + error);
  if (!error.empty() && told->result != outcome::finding) {
    told->result = outcome::typed_error;
    std::strncpy(told->text, error.c_str(), sizeof told->text - 1);
  }
  const std::string again = attempt(s);
  if (!again.empty()) told->find("the next operation fails: " + again + " (the first: " + error + ")");
  told->left = what_is_left();
  if (reference != nullptr && told->left != *reference)
    told->find("left " + told->left.text() + " instead of " + reference->text() + " (the first: " + error +
               ")");
  std::exit(0);
}

void end_children() {
  std::ifstream list("/proc/thread-self/children");
  for (pid_t child; list >> child;) ::kill(child, SIGKILL);
}

/// Waits for its end, and for that of all it has left running.
void await_run(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) told->find("somebody hangs");
  if (WIFSIGNALED(status)) told->find(fmt::format("the root was ended by signal {}", WTERMSIG(status)));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    told->find(fmt::format("the root exited with {}", WEXITSTATUS(status)));
  // Whatever it left behind is this process's now, and dies with its parent; for long it must not live.
  const auto since = std::chrono::steady_clock::now();
  for (;;) {
    const pid_t left = ::waitpid(-1, nullptr, __WALL | WNOHANG);
    if (left < 0 && errno == ECHILD) return;
    if (left == 0) ::usleep(500);
    if (std::chrono::steady_clock::now() - since > std::chrono::seconds(10)) {
      told->find("a process outlives the root");
      end_children();
    }
  }
}

void start_run(const scenario& s, const choice& chosen, const remains* reference, char* program) {
  *told = report{};
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) run(s, chosen, reference, program);
  await_run(pid);
}

// ---- the sweep ----

struct totals {
  std::atomic<std::uint64_t> points, runs, not_reached, nothing, typed, findings;
};

struct job {
  choice chosen;
  const char* call;
};

/// Of the uses that the last run has counted.
std::vector<job> jobs_of_last_run(const settings& how) {
  std::vector<job> jobs;
  const plan& p = the_plan();
  for (std::uint32_t i = 0; i < p.points.size(); ++i) {
    const point& at = p.points[i];
    if (at.key == 0) continue;
    const std::string_view name = at.name;
    const bool allocation = name.starts_with("operator new") || name.starts_with("arena");
    for (unsigned who = 0; who < roles; ++who) {
      const std::uint32_t uses = std::min(at.uses[who].load(), allocation ? how.allocations : how.uses);
      for (std::uint32_t use = 1; use <= uses; ++use) {
        for (std::uint32_t e = 0; e < at.error_count; ++e) {
          // All errors at the first uses, one after the other at those that follow.
          if (use > 3 && use % at.error_count != e) continue;
          jobs.push_back({{i, static_cast<role>(who), use, at.errors[e]}, at.name});
        }
      }
    }
  }
  return jobs;
}

bool asked_for(const settings& how, const job& j) {
  return (how.who.empty() || how.who == name_of(j.chosen.who)) && (how.call.empty() || how.call == j.call) &&
         (how.use == 0 || how.use == j.chosen.use) && (how.error == 0 || how.error == j.chosen.error);
}

/// The functions that led to what was refused, by addr2line; nothing where that is not installed.
void tell_way() {
  const plan& p = the_plan();
  std::string ask = "addr2line -fCs -e /proc/" + std::to_string(::getpid()) + "/exe";
  Dl_info found{};
  for (int i = 2; i < p.depth && i < 12; ++i) {
    if (::dladdr(p.where[i], &found) != 0)
      ask += fmt::format(" {:#x}", reinterpret_cast<std::uintptr_t>(p.where[i]) -
                                       reinterpret_cast<std::uintptr_t>(found.dli_fbase) - 1);
  }
  ask += " 2>/dev/null | grep -v '?' | cut -c1-150 | sed 's/^/    /'";
  if (std::system(ask.c_str()) != 0) fmt::print("    no way known\n");
}

void tell_finding(const scenario& s, const job& j) {
  fmt::print("FINDING {}\n  --scenario '{}' --who {} --call '{}' --use {} --error {}\n", told->text, s.name,
             name_of(j.chosen.who), j.call, j.chosen.use, j.chosen.error);
  std::fflush(stdout);
  tell_way();
}

void sweep(const scenario& s, const settings& how, unsigned number, double seconds, char* program,
           totals& sum) {
  const auto begun = std::chrono::steady_clock::now();
  start_run(s, choice{}, nullptr, program);
  if (told->result == outcome::finding) {
    if (number == 0) fmt::print("FINDING {}: without any refusal: {}\n", s.name, told->text);
    ++sum.findings;
    return;
  }
  const remains reference = told->left;
  std::vector<job> jobs = jobs_of_last_run(how);
  if (number == 0) {
    std::uint64_t points = 0;
    for (const point& each : the_plan().points)
      for (const auto& uses : each.uses) points += uses != 0;
    sum.points += points;
  }
  std::erase_if(jobs, [&](const job& j) { return !asked_for(how, j); });
  std::shuffle(jobs.begin(), jobs.end(),
               std::mt19937_64(1));  // a part is spread over all, and the same each time
  for (std::size_t i = number; i < jobs.size(); i += how.jobs) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
    if (seconds > 0 && passed.count() > seconds) break;
    start_run(s, jobs[i].chosen, &reference, program);
    ++sum.runs;
    if (told->result == outcome::finding) {
      ++sum.findings;
      tell_finding(s, jobs[i]);
    } else if (!the_plan().refused) {
      ++sum.not_reached;
    } else {
      ++(told->result == outcome::typed_error ? sum.typed : sum.nothing);
    }
  }
}

settings read(int argc, char** argv) {
  settings how;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--seconds") how.seconds = std::atof(value);
    if (name == "--uses") how.uses = static_cast<std::uint32_t>(std::atoi(value));
    if (name == "--allocations") how.allocations = static_cast<std::uint32_t>(std::atoi(value));
    if (name == "--jobs") how.jobs = static_cast<unsigned>(std::atoi(value));
    if (name == "--scenario") how.scenario = value;
    if (name == "--who") how.who = value;
    if (name == "--call") how.call = value;
    if (name == "--use") how.use = static_cast<std::uint32_t>(std::atoi(value));
    if (name == "--error") how.error = std::atoi(value);
  }
  if (how.use != 0) how.jobs = 1;
  return how;
}

}  // namespace

int main(int argc, char** argv) {
  // A fresh image made by a run: it enters the family at once and does not return.
  if (argc > 1 && std::string_view(argv[1]).starts_with("--brood-")) {
    brood::init(argc, argv);
    return 1;
  }
  const settings how = read(argc, argv);
  auto& sum = *share<totals>();
  void* once[2];
  ::backtrace(once, 2);  // loads what it needs now and not in a run
  std::vector<pid_t> shards;
  for (unsigned number = 0; number < how.jobs; ++number) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid != 0) {
      shards.push_back(pid);
      continue;
    }
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    told = share<report>();
    the_plan();
    // What runs say of their errors is expected.
    if (how.use == 0) ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    const double share = how.scenario.empty() ? static_cast<double>(scenarios().size()) : 1;
    for (const scenario& s : scenarios()) {
      if (how.scenario.empty() || how.scenario == s.name)
        sweep(s, how, number, how.seconds / share, argv[0], sum);
    }
    std::fflush(nullptr);
    ::_exit(0);
  }
  bool whole = true;
  for (const pid_t shard : shards) {
    int status = 0;
    ::waitpid(shard, &status, 0);
    whole &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  fmt::print("{} points, {} runs: {} without an effect, {} typed errors, {} not reached, {} findings\n",
             sum.points.load(), sum.runs.load(), sum.nothing.load(), sum.typed.load(), sum.not_reached.load(),
             sum.findings.load());
  if (!whole) fmt::print("a part of the fuzz itself failed\n");
  return whole && sum.findings == 0 && sum.runs > 0 ? 0 : 1;
}
