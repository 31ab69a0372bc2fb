#include "runtime/crash_record.hpp"

namespace brood::detail {
namespace {

constinit crash_tracer tracer_of_process{nullptr, nullptr};
constinit crash_target target_of_process;

}  // namespace

void set_crash_tracer(const crash_tracer& tracer) noexcept { tracer_of_process = tracer; }

bool traces_crashes() noexcept { return tracer_of_process.install != nullptr; }

void install_crash_handlers() noexcept {
  if (tracer_of_process.install != nullptr) tracer_of_process.install(target_of_process);
}

[[gnu::hot]] void aim_crash_handlers(const crash_target& target) noexcept { target_of_process = target; }

std::string describe_crash(const crash_record& record, bool as_here) {
  return tracer_of_process.describe != nullptr ? tracer_of_process.describe(record, as_here) : std::string();
}

}  // namespace brood::detail
