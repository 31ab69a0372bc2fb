#include "process/cause.hpp"

#include <csignal>
#include <utility>

namespace brood::detail {
namespace {

bool is_fault(int signal) {
  switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
      return true;
    default:
      return false;
  }
}

/// Signals that the kernel sends to a process for what it did itself, or that it has asked for.
bool may_be_its_own(int signal) {
  return signal == SIGPIPE || signal == SIGALRM || signal == SIGVTALRM || signal == SIGPROF;
}

/// The kernel compares ticks with the limit, getrusage(2) gives what was really used: on a busy machine they differ.
bool used(int tenths, const exit_status& status, const evidence& known) {
  return known.cpu_limit &&
         10 * (status.usage.user_time + status.usage.system_time) >= tenths * *known.cpu_limit;
}

death_cause judge_kill(const exit_status& status, const evidence& known, memory_witness& memory, bool alone) {
  if (used(9, status, known)) return death_cause::cpu_limit;  // the hard limit
  if (known.may_die_with_server) return death_cause::unknown;
  switch (memory.judge(alone)) {
    case memory_witness::verdict::not_it:
      return death_cause::signal_from_outside;
    case memory_witness::verdict::memory_limit:
      return death_cause::memory_limit;
    case memory_witness::verdict::out_of_memory:
      return death_cause::out_of_memory;
    default:
      return death_cause::unknown;
  }
}

}  // namespace

memory_witness::verdict memory_witness::judge(bool alone) {
  const auto before = std::exchange(last_, kills_.read());
  if (before.anywhere && last_.anywhere == before.anywhere) return verdict::not_it;
  if (!alone || !before.here || !last_.here || last_.here == before.here) return verdict::unknown;
  return last_.at_limit != before.at_limit ? verdict::memory_limit : verdict::out_of_memory;
}

death_cause judge(const exit_status& status, const evidence& known, memory_witness& memory, bool alone) {
  if (!status.known) return death_cause::unknown;
  const int signal = status.signal;
  if (signal == 0) return known.asked && !known.gave_result ? death_cause::asked : death_cause::exited;
  if (status.deadline_passed) return death_cause::deadline;
  if (status.stop_overran || (known.sent >> signal & 1) != 0) return death_cause::asked;
  if (known.crash && known.crash->signal == signal)
    return known.crash->of_kernel || signal == SIGABRT ? death_cause::crash
                                                       : death_cause::signal_from_outside;
  if (is_fault(signal)) return death_cause::crash;
  if (signal == SIGXCPU) return used(5, status, known) ? death_cause::cpu_limit : death_cause::unknown;
  if (signal == SIGXFSZ) return known.file_limit ? death_cause::file_size_limit : death_cause::unknown;
  if (signal == SIGKILL) return judge_kill(status, known, memory, alone);
  return may_be_its_own(signal) ? death_cause::unknown : death_cause::signal_from_outside;
}

}  // namespace brood::detail
