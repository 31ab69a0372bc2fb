// stream_input: the items of a stream on their way to the hosts. At most a window of them is under way or has a result that
// nobody has taken; a window that was full is filled again when a quarter of it is free, so that many go together.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <ranges>
#include <utility>

#include "brood/cluster/call.hpp"
#include "brood/coroutine/detail/scope.hpp"
#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood::cluster::detail {

template <class T>
inline constexpr bool is_generator = false;
template <class T>
inline constexpr bool is_generator<generator<T>> = true;

template <auto F, class Items>
class stream_input : public std::enable_shared_from_this<stream_input<F, Items>> {
  static constexpr bool asks = is_generator<Items>;

 public:
  stream_input(Items items, membership_pointer of, job_pointer job, const task_settings& settings,
               std::uint64_t chunk, std::uint64_t window)
      : items_(std::move(items)),
        of_(std::move(of)),
        job_(std::move(job)),
        settings_(settings),
        chunk_(chunk),
        window_(window),
        at_(begin_of(items_)) {}

  /// A generator is asked beside the stream, from now on.
  void begin() {
    if constexpr (asks) runtime::current().start(feed(this->shared_from_this()));
  }
  /// Of a range: gives one chunk if there is room and an item. What the range throws ends it.
  bool give_some() {
    if constexpr (asks) {
      return false;
    } else {
      if (!more_ || !has_room()) return false;
      std::vector<bytes> arguments;
      try {
        while (arguments.size() < chunk_ && (more_ = at_ != std::ranges::end(items_))) {
          arguments.push_back(arguments_of<F, false>(*at_));
          ++at_;
        }
      } catch (...) {
        end_with(std::current_exception());
      }
      if (!arguments.empty()) send(std::move(arguments));
      return true;
    }
  }
  void took_one() noexcept {
    ++taken_;
    if constexpr (asks) room_.notify_all();
  }
  /// No more is to be asked for.
  void stop() noexcept {
    more_ = false;
    if (scope_ != nullptr) scope_->request_stop();
  }

  std::uint64_t taken() const noexcept { return taken_; }
  /// Items that were given and whose results were not taken.
  std::uint64_t open() const noexcept { return given_ - taken_; }
  bool at_end() const noexcept { return !more_ && given_ == taken_; }
  /// Throws what the items threw; it comes after the results of those before.
  void throw_ending() const {
    if (ending_) std::rethrow_exception(ending_);
  }

 private:
  static auto begin_of(Items& items) {
    if constexpr (asks) {
      return 0;
    } else {
      return std::ranges::begin(items);
    }
  }

  bool has_room() noexcept {
    if (open() >= window_) filling_ = false;
    if (open() <= window_ - (window_ + 3) / 4) filling_ = true;
    return filling_;
  }
  void end_with(std::exception_ptr why) noexcept {
    ending_ = std::move(why);
    more_ = false;
  }
  void send(std::vector<bytes> arguments) {
    chunk_items part;
    part.function = registered_function<F>::key();
    part.settings = settings_;
    part.job = job_;
    part.first = given_;
    part.arguments = std::move(arguments);
    given_ += part.arguments.size();
    give(of_, std::move(part), chunk_ == 1);
  }

  static task<> feed(std::shared_ptr<stream_input> self) {
    brood::detail::linked_scope scope(co_await brood::detail::current_scope());
    self->scope_ = &scope;
    auto asking = self->ask();
    asking.set_scope(scope);
    try {
      co_await std::move(asking);
    } catch (...) {
      if (self->more_) self->end_with(std::current_exception());
    }
    self->scope_ = nullptr;
    self->more_ = false;
    self->job_->changed.notify_all();
  }
  task<> ask() {
    for (std::uint64_t asked = 1; more_; ++asked) {
      while (!has_room()) co_await room_.wait();
      auto next = co_await items_.next();
      if (!next || !more_) co_return;
      send(std::vector<bytes>(1, arguments_of<F, false>(std::move(*next))));
      job_->changed.notify_all();
      if (asked % 64 == 0) co_await yield();  // one that never waits keeps nobody else waiting
    }
  }

  Items items_;
  membership_pointer of_;
  job_pointer job_;
  task_settings settings_;
  std::uint64_t chunk_;
  std::uint64_t window_;
  decltype(begin_of(std::declval<Items&>())) at_;
  std::uint64_t given_ = 0;
  std::uint64_t taken_ = 0;
  bool more_ = true;
  bool filling_ = true;
  std::exception_ptr ending_;
  brood::detail::local_event room_;
  brood::detail::linked_scope* scope_ = nullptr;
};

/// Nothing more is asked for when the stream is dropped.
template <class Input>
struct input_guard {
  std::shared_ptr<Input> input;
  explicit input_guard(std::shared_ptr<Input> of) noexcept : input(std::move(of)) {}
  input_guard(const input_guard&) = delete;
  input_guard& operator=(const input_guard&) = delete;
  ~input_guard() { input->stop(); }
};

}  // namespace brood::cluster::detail
