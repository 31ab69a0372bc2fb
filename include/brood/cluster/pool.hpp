// pool: the workers of all hosts of a cluster.
#pragma once

#include <ranges>
#include <utility>

#include "brood/cluster/call.hpp"
#include "brood/cluster/connect.hpp"
#include "brood/cluster/map.hpp"
#include "brood/cluster/stream.hpp"

namespace brood::cluster {

/// The workers of all hosts of this build. As `brood::pool`, but that workers are on other machines: arguments and results
/// travel as bytes, handles to shared memory cannot. A result arrives exactly once. A function may run more than once, at
/// most 1 + `retries` + `host_losses` times, or more if the engine has lost its data: its effects must bear that.
/// An item whose worker dies fails with `child_died` or is tried again; one that throws gives `remote_error`.
/// Order of start: as asked. Hosts come and go at any time; without any, calls wait.
/// Cancellation of whatever is awaited here: what has not begun never does, what runs is ended by killing its worker.
class pool {
 public:
  explicit pool(const client& in) noexcept : of_(in.place()) {}

  /// Calls `F` with copies of `arguments` in a worker of some host; `co_await` gives its result.
  template <auto F, class... Arguments>
  auto apply(Arguments&&... arguments) const {
    brood::detail::require_safe_temporary<Arguments...>();
    using function = brood::detail::child_function<F>;
    return apply_operation<typename function::result>(
        of_, detail::registered_function<F>::key(),
        function::encode_arguments(std::forward<Arguments>(arguments)...));
  }
  /// The same without waiting. For setters: `apply<F>(...).retries(2).start()`.
  template <auto F, class... Arguments>
  auto submit(Arguments&&... arguments) const {
    return apply<F>(std::forward<Arguments>(arguments)...).start();
  }
  /// Calls `F` with each item; gives `std::vector<R>` in their order. The first exception ends the rest and is thrown. An
  /// lvalue range is read where it is, until the result is there.
  template <auto F, std::ranges::forward_range Range>
  auto map(Range&& items) const {
    brood::detail::require_safe_temporary<Range>();
    using view = std::views::all_t<Range>;
    return map_operation<F, false, false, view>(std::views::all(std::forward<Range>(items)), of_);
  }
  /// The same with items that are tuples of arguments.
  template <auto F, std::ranges::forward_range Range>
  auto starmap(Range&& items) const {
    brood::detail::require_safe_temporary<Range>();
    using view = std::views::all_t<Range>;
    return map_operation<F, true, false, view>(std::views::all(std::forward<Range>(items)), of_);
  }
  /// Calls `F` with each item of a range or of a `generator<T>&&`, either of which may never end; `.results()` of it is a
  /// `generator<R>` of the results in the order of the items, or in that of their ends. A generator is asked
  /// beside the stream, as long as the window has room, and cancelled when the stream is dropped.
  template <auto F, class Items>
  auto imap(Items&& items) const {
    return stream<F, true, false>(std::forward<Items>(items));
  }
  template <auto F, class Items>
  auto imap_unordered(Items&& items) const {
    return stream<F, false, false>(std::forward<Items>(items));
  }
  /// The same with `outcome<R>` for each item, none of which ends the stream.
  template <auto F, class Items>
  auto imap_collect(Items&& items) const {
    return stream<F, true, true>(std::forward<Items>(items));
  }
  template <auto F, class Items>
  auto imap_unordered_collect(Items&& items) const {
    return stream<F, false, true>(std::forward<Items>(items));
  }

 private:
  template <auto F, bool Ordered, bool Collect, class Items>
  auto stream(Items&& items) const {
    if constexpr (detail::is_generator<std::remove_cvref_t<Items>>) {
      return stream_operation<F, Ordered, Collect, std::remove_cvref_t<Items>>(std::forward<Items>(items),
                                                                               of_);
    } else {
      using view = std::views::all_t<Items>;
      return stream_operation<F, Ordered, Collect, view>(std::views::all(std::forward<Items>(items)), of_);
    }
  }

  detail::membership_pointer of_;
};

}  // namespace brood::cluster
