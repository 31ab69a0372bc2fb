// What runs in a pool's worker.
#pragma once

#include <cstdint>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/wait_operation.hpp"
#include "brood/export.hpp"
#include "brood/pool/detail/lane.hpp"
#include "brood/process/detail/function_entry.hpp"

namespace brood::detail {

/// Called once in each worker before its first task. No function: nothing.
struct initializer_call {
  function_token function;
  bytes arguments;
};

/// The body of a worker: calls the initializer, then runs the tasks of its lane until that closes. Plain
/// functions run outside the loop, as in any child, so that they may use `sync_wait`.
BROOD_API void pool_worker(pool_handle<lane> lane, pool_handle<hub> hub, std::uint32_t seat,
                           initializer_call initializer);

/// Waits until there is something to claim or the lane is closing.
class lane_awaiter : public wait_operation<lane_awaiter> {
 public:
  static constexpr const char* waits_for = "pool task";
  explicit lane_awaiter(lane& where) noexcept : lane_(where) {}
  bool attempt() const noexcept { return lane_.anything_to_do(); }
  bool more() const noexcept { return false; }
  wait_list& list() const noexcept { return lane_.state().requests; }
  brood::arena& memory() const noexcept { return lane_.memory(); }
  void await_resume() { this->take(); }

 private:
  lane& lane_;
};

/// Waits until a worker has something to tell.
class hub_awaiter : public wait_operation<hub_awaiter> {
 public:
  static constexpr const char* waits_for = "pool results";
  explicit hub_awaiter(hub& where) noexcept : hub_(where) {}
  bool attempt() const noexcept { return hub_.anything(); }
  bool more() const noexcept { return false; }
  wait_list& list() const noexcept { return hub_.results(); }
  brood::arena& memory() const noexcept { return hub_.memory(); }
  void await_resume() { this->take(); }

 private:
  hub& hub_;
};

}  // namespace brood::detail
