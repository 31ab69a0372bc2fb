// client_service: the connections to managers that belong to a runtime, and end with it.
#pragma once

#include <set>

#include "brood/runtime/runtime.hpp"

namespace brood::remote {

class client;

class client_service final : public runtime_service {
 public:
  explicit client_service(runtime&) {}
  task<> shut_down() override;

  void add(client& open) { open_.insert(&open); }
  void remove(client& open) noexcept { open_.erase(&open); }

 private:
  std::set<client*> open_;
};

}  // namespace brood::remote
