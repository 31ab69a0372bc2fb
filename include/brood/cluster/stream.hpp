// stream: a function over items that may never end, on all hosts; the results one by one.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <variant>

#include "brood/cluster/call.hpp"
#include "brood/cluster/detail/stream_input.hpp"
#include "brood/coroutine/generator.hpp"

namespace brood::cluster {

/// The results of a function over a range or a generator, one by one; see `pool::imap`.
template <auto F, bool Ordered, bool Collect, class Items>
class stream_operation : public call_setters<stream_operation<F, Ordered, Collect, Items>> {
  using R = typename brood::detail::child_function<F>::result;
  using item = std::conditional_t<Collect, outcome<R>, brood::detail::value_or_unit<R>>;

 public:
  stream_operation(Items items, detail::membership_pointer of)
      : items_(std::move(items)), of_(std::move(of)) {}

  /// Items that travel together, if so many are there; default 1, and then those that wait are packed.
  stream_operation&& chunk(std::uint64_t n) && {
    chunk_ = std::max<std::uint64_t>(n, 1);
    return std::move(*this);
  }
  /// So many items are under way or wait to be taken, at most. Default 1024.
  stream_operation&& window(std::uint64_t items) && {
    window_ = std::max<std::uint64_t>(items, 1);
    return std::move(*this);
  }
  /// Begins: `while (auto result = co_await g.next())`. Setters are of no use any more.
  generator<item> results() && {
    return run(std::move(items_), this->settings_, chunk_, std::max(window_, chunk_), std::move(of_));
  }

 private:
  static generator<item> run(Items items, detail::task_settings settings, std::uint64_t chunk,
                             std::uint64_t window, detail::membership_pointer of) {
    using input_type = detail::stream_input<F, Items>;
    const auto results = std::make_shared<detail::item_results<R>>();
    const auto input = std::make_shared<input_type>(std::move(items), of, results, settings, chunk, window);
    const detail::job_guard guard(of, results);
    const detail::input_guard<input_type> stop(input);
    input->begin();
    std::deque<outcome<R>> ready;  // of an ordered stream: also those that have not come yet
    for (;;) {
      if (results->failure) std::rethrow_exception(results->failure);
      if constexpr (Ordered) ready.resize(input->open());
      for (auto& [index, ended] : std::exchange(results->arrived, {})) {
        if constexpr (Ordered) {
          ready[index - input->taken()] = std::move(ended);
        } else {
          ready.push_back(std::move(ended));
        }
      }
      if (!ready.empty() && (ready.front().has_value() || ready.front().error())) {
        outcome<R> next = std::move(ready.front());
        ready.pop_front();
        input->took_one();
        if constexpr (Collect) {
          co_yield std::move(next);
        } else if constexpr (std::is_void_v<R>) {
          next.value();
          co_yield std::monostate();
        } else {
          auto value = std::move(next).value();
          co_yield brood::moved{value};
        }
        continue;
      }
      if (input->give_some()) continue;
      if (input->at_end()) break;
      if (!results->arrived.empty()) continue;
      brood::detail::passing_exception cancellation(nullptr);
      try {
        co_await results->changed.wait();
      } catch (const cancelled&) {
        cancellation.why = std::current_exception();
      }
      if (cancellation.why != nullptr) co_yield cancellation;  // the `next()` after it goes on
    }
    input->throw_ending();
  }

  Items items_;
  detail::membership_pointer of_;
  std::uint64_t chunk_ = 1;
  std::uint64_t window_ = 1024;
};

}  // namespace brood::cluster
