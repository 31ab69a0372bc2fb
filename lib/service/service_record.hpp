// What a supervisor keeps of one service, and what its handles read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "brood/channel/listener.hpp"
#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/broadcast.hpp"
#include "brood/coroutine/detail/scope.hpp"
#include "brood/service/detail/service_body.hpp"
#include "brood/service/service.hpp"
#include "brood/service/with_supervisor.hpp"
#include "service/listening.hpp"
#include "service/supervision.hpp"

namespace brood::detail {

class service_group;

/// One instance, from the decision to start it to its end.
struct service_instance {
  instance_id id = 0;
  linked_scope starting{nullptr};             // stopped to end it while it is being started
  std::unique_ptr<running_instance> running;  // null until it has been started
  bool asked = false;
  bool killed = false;
  bool ready = false;
  std::optional<instance_end> end;
  async_event changed;  // notified when it is ready and when it has ended
};

/// Lifetime: shared by the group and all handles; `group` is null once the supervisor has ended.
class service_record {
 public:
  bool is_settled() const noexcept {
    return state == service_state::ended || state == service_state::stopped;
  }
  pid_t pid() const noexcept {
    return current && current->running && !current->end ? current->running->pid() : 0;
  }
  std::size_t restarts() const noexcept { return starts > reloads ? starts - reloads - 1 : 0; }
  /// Tells whoever waits, and the subscribers.
  void note_change();
  /// Why it does not run: rethrows what ended it.
  [[noreturn]] void throw_end() const;

  service_group* group = nullptr;
  service_id id = 0;
  service_spec spec;
  std::string name;
  std::vector<std::shared_ptr<listening_socket>> listening;
  std::optional<listener> entry;  // by which others find it
  service_state state = service_state::waiting;
  std::size_t starts = 0;   // of instances
  std::size_t reloads = 0;  // those among them that were to replace one
  std::string status;
  bool was_ready = false;      // once at least
  bool never_started = false;  // the first attempt failed: `run` throws that
  std::shared_ptr<service_instance>
      current;                       // the one that counts: a reload changes it when the new one is ready
  std::optional<instance_end> last;  // how the last one ended
  std::exception_ptr given_up;       // `restart_limit`, if the supervisor gave up
  async_event changed;
  std::unique_ptr<broadcast<service_event>> events;  // if anybody asked for them
};

}  // namespace brood::detail
