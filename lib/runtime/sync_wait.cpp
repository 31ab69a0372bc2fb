#include "brood/runtime/sync_wait.hpp"

namespace brood::detail {

runtime& runtime_for_waiting() {
  if (runtime* existing = runtime::current_or_null()) return *existing;
  thread_local std::unique_ptr<runtime> kept;
  kept = std::make_unique<runtime>();
  return *kept;
}

}  // namespace brood::detail
