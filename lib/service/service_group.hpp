// The services of one supervisor: carries out what `supervision` decides.
#pragma once

#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "brood/coroutine/async_scope.hpp"
#include "brood/runtime/runtime.hpp"
#include "service/notify_desk.hpp"
#include "service/service_record.hpp"
#include "service/supervision.hpp"

namespace brood::detail {

/// Lifetime: `close` must have been awaited before it is destroyed.
class service_group : public std::enable_shared_from_this<service_group> {
 public:
  service_group(runtime& loop, strategy how, restart_intensity limit);
  ~service_group();

  std::shared_ptr<service_record> add(service_spec spec);
  void stop(const service_record& which);
  void restart(const service_record& which);
  std::shared_ptr<service_instance> reload(const service_record& which);
  void remove(const service_record& which);
  /// Stops everything in reverse order, and waits for it.
  task<> close();

  /// Asked to stop when the group gives up. Null: nobody.
  void stop_at_failure(linked_scope* scope) noexcept;
  const std::exception_ptr& failure() const noexcept { return failure_; }
  task<> wait_until_idle();
  std::vector<std::shared_ptr<service_record>> records() const;

 private:
  struct alarm : timer_node {
    service_group* owner = nullptr;
  };

  template <class Change>
  void step(Change change) noexcept;
  void obey();
  void obey(const supervision_action& action);
  void start(service_record& record, instance_id id);
  void ask(const service_record& record, service_instance& instance) noexcept;
  void kill(service_instance& instance) noexcept;
  void give_up(service_record& record);
  void collapse() noexcept;
  void forget(service_id id);
  void rearm();

  task<> live(std::shared_ptr<service_record> record, std::shared_ptr<service_instance> instance);
  task<> run(std::shared_ptr<service_record> record, std::shared_ptr<service_instance> instance);
  task<> begin(service_record& record, service_instance& instance);
  task<> watch_probe(std::shared_ptr<service_record> record, std::shared_ptr<service_instance> instance);
  instance_setup setup_for(const service_record& record, instance_id id);
  void hear(service_record& record, instance_id id, const notify_message& message);

  runtime& loop_;
  notify_desk* desk_ = nullptr;  // from the first process on
  supervision machine_;
  std::map<service_id, std::shared_ptr<service_record>> records_;
  std::map<instance_id, std::shared_ptr<service_instance>> instances_;
  async_scope tasks_;
  alarm alarm_;
  bool armed_ = false;
  linked_scope* at_failure_ = nullptr;
  std::exception_ptr failure_;
  async_event changed_;
};

}  // namespace brood::detail
