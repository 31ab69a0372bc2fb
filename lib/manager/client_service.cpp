#include "manager/client_service.hpp"

#include "manager/client.hpp"

namespace brood::remote {

task<> client_service::shut_down() {
  while (!open_.empty()) {
    const auto next = (*open_.begin())->shared_from_this();
    co_await next->shut_down();
  }
}

}  // namespace brood::remote
