// pool_function: a function as a worker runs it, over all the items of a task.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/trace.hpp"
#include "brood/pool/detail/task_run.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "brood/runtime/sync_wait.hpp"

namespace brood::detail {

// ---- requests ----

/// The size of an argument list's encoding if it is always the same, and how lists follow each other: of
/// such, one right behind the other; others each behind their size.
template <class Arguments>
struct item_format;
template <class... A>
struct item_format<std::tuple<A...>> {
  static constexpr bool fixed = (is_flat<A> && ...);
  static constexpr std::size_t size = (std::size_t{0} + ... + sizeof(A));  // if fixed

  static std::tuple<A...> decode(std::span<const std::byte> from) {
    if constexpr (sizeof...(A) == 0) {
      return {};
    } else {
      return decode_all<A...>(from);
    }
  }
};

using item_size = std::uint64_t;

template <class Arguments>
class item_reader {
  using format = item_format<Arguments>;

 public:
  item_reader(std::span<const std::byte> request, std::uint32_t skip) : rest_(request) {
    if constexpr (format::fixed) {
      rest_ = rest_.subspan(std::min(rest_.size(), format::size * skip));
    } else {
      for (; skip != 0; --skip) take();
    }
  }
  Arguments next() { return format::decode(take()); }

 private:
  std::span<const std::byte> take() {
    std::size_t size = format::size;
    if constexpr (!format::fixed) {
      item_size stored = 0;
      if (rest_.size() < sizeof stored) throw decode_error("a request that was cut off");
      std::memcpy(&stored, rest_.data(), sizeof stored);
      rest_ = rest_.subspan(sizeof stored);
      size = stored;
    }
    if (rest_.size() < size) throw decode_error("a request that was cut off");
    const auto item = rest_.first(size);
    rest_ = rest_.subspan(size);
    return item;
  }

  std::span<const std::byte> rest_;
};

// ---- functions ----

using pool_entry = void (*)(task_run&);

/// How the compiler writes it: "geometry::area", "(lambda at shapes.cpp:12:3){}".
template <auto F>
constexpr std::string_view function_name() {
  std::string_view text =
      __PRETTY_FUNCTION__;  // "... [F = &name]", or with GCC "... [with auto F = name; ...]"
  text.remove_prefix(text.find("F = ") + 4);
  text = text.substr(0, std::min(text.find(';'), text.rfind(']')));
  if (text.starts_with('&')) text.remove_prefix(1);
  return text;
}

template <auto F>
struct pool_function {
  using child = child_function<F>;
  using arguments = typename child::arguments;
  using returned = typename child::returned;
  using result = typename child::result;

  static void run(task_run& task) {
    if (tracing != nullptr) [[unlikely]]
      task.set_name(function_name<F>());
    item_reader<arguments> items(task.request(), task.first());
    while (task.next_item()) {
      auto phase = failure_kind::cannot_decode;
      try {
        arguments values = items.next();
        phase = failure_kind::exception;
        std::apply([&](auto&... each) { finish(task, each...); }, values);
      } catch (...) {
        task.failure(std::current_exception(), phase);
      }
    }
  }

  static function_token token() {
    static const function_token the_token =
        token_of(reinterpret_cast<function_entry>(reinterpret_cast<void (*)()>(&run)));
    return the_token;
  }

 private:
  template <class... A>
  static void finish(task_run& task, A&... values) {
    auto invoke = [&]() -> returned { return as_function_pointer<F>()(std::move(values)...); };
    if constexpr (unwrap_task<returned>::is_task) {
      if constexpr (std::is_void_v<result>) {
        sync_wait(invoke());
        task.nothing();
      } else {
        task.value(sync_wait(invoke()));
      }
    } else if constexpr (std::is_void_v<result>) {
      invoke();
      task.nothing();
    } else {
      task.value(invoke());
    }
  }
};

/// What `pool_function::token` names, in the worker.
inline pool_entry pool_entry_of(function_token token) {
  return reinterpret_cast<pool_entry>(reinterpret_cast<void (*)()>(entry_of(token)));
}

}  // namespace brood::detail
