// call_job: one call of one function: `apply` and `submit`.
#pragma once

#include <memory>
#include <utility>

#include "brood/pool/detail/item_codec.hpp"
#include "brood/pool/detail/scheduler.hpp"

namespace brood::detail {

template <class R>
class call_job final : public job {
 public:
  call_job(function_token function, bytes request, std::vector<held_reference> objects)
      : job(function, {}), request_(std::move(request)), objects_(std::move(objects)) {}

  bool has_more() const noexcept override { return !produced_; }
  bool expects_more() const noexcept override { return !produced_; }

  void produce(task_draft& draft) override {
    produced_ = true;
    const auto room = draft.room(request_.size());
    if (!request_.empty()) std::memcpy(room.data(), request_.data(), request_.size());
    draft.items(0, 1);
    request_ = {};
  }
  void deliver(std::uint64_t first, result_reader& results) override {
    read_results<R>(first, results, [this](std::uint64_t, outcome<R>&& ended) { set(std::move(ended)); });
  }
  void lose(std::uint64_t, std::exception_ptr why) override { set(outcome<R>(std::move(why))); }

  local_event& ended() noexcept { return ended_; }
  outcome<R>& result() noexcept { return result_; }

 protected:
  void failed(std::exception_ptr why) override { set(outcome<R>(std::move(why))); }

 private:
  void set(outcome<R> result) {
    finish();
    result_ = std::move(result);
    objects_.clear();
    ended_.set();
  }

  bytes request_;
  std::vector<held_reference>
      objects_;  // that the arguments hold handles of; a handle may be closed meanwhile
  bool produced_ = false;
  outcome<R> result_;
  local_event ended_;
};

template <auto F, class... Given>
auto make_call_job(Given&&... given) {
  using function = child_function<F>;
  using arguments = typename function::arguments;
  using R = typename function::result;
  if constexpr (!std::is_void_v<R>) require_codable<R>();
  travelling_objects travelling;
  bytes request = function::encode_arguments(std::forward<Given>(given)...);
  if constexpr (!item_format<arguments>::fixed) {
    const item_size size = request.size();
    request.insert(request.begin(), sizeof size, std::byte{});
    std::memcpy(request.data(), &size, sizeof size);
  }
  std::vector<held_reference> objects;
  for (const auto& object : travelling.objects()) objects.emplace_back(object->name(), object->kind());
  auto made =
      std::make_shared<call_job<R>>(pool_function<F>::token(), std::move(request), std::move(objects));
  made->settings().name = function_name<F>();
  return made;
}

/// Waits for a call that was added to a pool; a cancelled wait gives the call up.
template <class R>
task<R> result_of(std::shared_ptr<call_job<R>> call, std::shared_ptr<scheduler> pool,
                  std::shared_ptr<void> kept) {
  static_cast<void>(kept);
  pool->add(call);
  try {
    co_await call->ended().wait();
  } catch (const cancelled&) {
    pool->cancel(*call, true);
    throw;
  }
  if constexpr (std::is_void_v<R>) {
    call->result().value();
  } else {
    co_return std::move(call->result()).value();
  }
}

}  // namespace brood::detail
