// trace: where the library tells what it does while somebody watches; see runtime::trace. While nobody does, an event
// costs one look at a null pointer.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include "brood/coroutine/executor.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// Takes down what happens in this process, on the threads of all its loops.
class BROOD_API trace_sink {
 public:
  virtual ~trace_sink() = default;
  /// Something of `category` ("task", "wait", "lock", ...) that lasted; spans may overlap. `of` tells it from
  /// others of its name that overlap it. `object`: the number that an object in shared memory has in all
  /// processes; 0: none.
  virtual void span(const char* category, std::string_view name, const void* of, clock::time_point begin,
                    clock::time_point end, std::uint64_t object = 0) noexcept = 0;
};

/// This process's; null while nobody watches. It is never destroyed, as the loop of another thread may use it while this one's
/// ends it.
BROOD_API extern std::atomic<trace_sink*> tracing;

/// Measures from `begin` to `end`, if somebody watches at both. What moves takes the measuring along.
class trace_span {
 public:
  trace_span() = default;
  trace_span(trace_span&& other) noexcept : begin_(std::exchange(other.begin_, {})) {}
  trace_span& operator=(trace_span&& other) noexcept {
    begin_ = std::exchange(other.begin_, {});
    return *this;
  }

  void begin() noexcept {
    if (tracing != nullptr) [[unlikely]]
      begin_ = clock::now();
  }
  void end(const char* category, std::string_view name, std::uint64_t object = 0) noexcept {
    if (begin_ != clock::time_point()) [[unlikely]]
      tell(category, name, object);
  }

 private:
  void tell(const char* category, std::string_view name, std::uint64_t object) noexcept {
    if (trace_sink* sink = tracing) sink->span(category, name, this, begin_, clock::now(), object);
    begin_ = {};
  }

  clock::time_point begin_{};
};

}  // namespace brood::detail
