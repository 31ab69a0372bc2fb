#include "runtime/throw_trace.hpp"

namespace brood::detail {
namespace {

std::string (*source_of_traces)(const std::exception_ptr&) = nullptr;

}  // namespace

std::string throw_trace(const std::exception_ptr& thrown) noexcept {
  try {
    return source_of_traces != nullptr ? source_of_traces(thrown) : std::string();
  } catch (...) {  // no memory: then without
    return {};
  }
}

void set_throw_trace_source(std::string (*source)(const std::exception_ptr&)) noexcept {
  source_of_traces = source;
}

}  // namespace brood::detail
