#include "service/service_group.hpp"

#include <fmt/core.h>

#include <random>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "runtime/log.hpp"
#include "service/directory.hpp"

namespace brood::detail {
namespace {

template <class Function>
class on_exit {
 public:
  explicit on_exit(Function function) : function_(std::move(function)) {}
  ~on_exit() { function_(); }
  on_exit(const on_exit&) = delete;
  on_exit& operator=(const on_exit&) = delete;

 private:
  Function function_;
};

}  // namespace

service_group::service_group(runtime& loop, strategy how, restart_intensity limit)
    : loop_(loop), machine_(how, limit, std::random_device()()) {
  alarm_.owner = this;
  alarm_.run = [](ready_node& node) noexcept {
    service_group& self = *static_cast<alarm&>(static_cast<timer_node&>(node)).owner;
    self.armed_ = false;
    self.step([](supervision& machine) { machine.on_time(clock::now()); });
  };
}

service_group::~service_group() {
  loop_.stop_timer(alarm_);
  for (auto& [id, record] : records_) record->group = nullptr;
}

// --- requests ---

std::shared_ptr<service_record> service_group::add(service_spec spec) {
  const auto record = std::make_shared<service_record>();
  record->group = this;
  record->spec = std::move(spec);
  for (const listen_request& asked : record->spec.listen)
    record->listening.push_back(open_listening_socket(asked));
  step([&](supervision& machine) {
    record->id = machine.add(record->spec.rules, clock::now());
    record->name = record->spec.name.empty() ? record->spec.body->default_name() : record->spec.name;
    if (record->name.empty()) record->name = fmt::format("service-{}", record->id);
    record->state = machine.state(record->id);
    records_.emplace(record->id, record);
    if (!record->spec.name.empty()) record->entry = open_directory_entry(record->name);
    if (record->entry) tasks_.start(answer_from(*record->entry, record));
  });
  return record;
}

void service_group::stop(const service_record& which) {
  step([&](supervision& machine) { machine.stop(which.id, clock::now()); });
}

void service_group::restart(const service_record& which) {
  step([&](supervision& machine) { machine.restart(which.id, clock::now()); });
}

void service_group::remove(const service_record& which) {
  step([&](supervision& machine) { machine.remove(which.id, clock::now()); });
}

std::shared_ptr<service_instance> service_group::reload(const service_record& which) {
  instance_id made = 0;
  step([&](supervision& machine) { made = machine.reload(which.id, clock::now()); });
  const auto found = instances_.find(made);
  return found != instances_.end() ? found->second : nullptr;
}

task<> service_group::close() {
  step([](supervision& machine) { machine.shut_down(clock::now()); });
  for (const auto& [id, record] : records_)
    if (record->entry) record->entry->close();
  co_await tasks_.join();
  loop_.stop_timer(alarm_);
  for (auto& [id, record] : records_) {
    record->group = nullptr;
    if (!record->is_settled()) record->state = service_state::stopped;
    if (!record->given_up) record->given_up = failure_;
    record->note_change();
    if (record->events) record->events->close();
  }
  records_.clear();
}

void service_group::stop_at_failure(linked_scope* scope) noexcept {
  at_failure_ = scope;
  if (failure_ && scope != nullptr) scope->request_stop();
}

task<> service_group::wait_until_idle() {
  const auto runs = [](const auto& each) { return !each.second->is_settled(); };
  while (std::any_of(records_.begin(), records_.end(), runs)) co_await changed_.wait();
}

std::vector<std::shared_ptr<service_record>> service_group::records() const {
  std::vector<std::shared_ptr<service_record>> result;
  for (const auto& [id, record] : records_) result.push_back(record);
  return result;
}

// --- what is decided, is done ---

/// Everything that happens goes through here. Without memory to decide or to carry out, there is nothing left to do but
/// to end it all.
template <class Change>
void service_group::step(Change change) noexcept {
  try {
    change(machine_);
    obey();
  } catch (...) {
    if (!failure_) failure_ = std::current_exception();
    collapse();
  }
}

void service_group::obey() {
  for (const supervision_action& action : machine_.take_actions()) obey(action);
  rearm();
}

void service_group::obey(const supervision_action& action) {
  using kind = supervision_action::kind;
  const auto found = records_.find(action.service);
  const auto instance = instances_.find(action.instance);
  switch (action.what) {
    case kind::start:
      return start(*found->second, action.instance);
    case kind::ask:
      if (instance != instances_.end() && found != records_.end())
        ask(*found->second, *instance->second);  // else it has ended already
      return;
    case kind::kill:
      if (instance != instances_.end()) kill(*instance->second);
      return;
    case kind::is_ready:
      instance->second->ready = true;
      found->second->current = instance->second;
      found->second->was_ready = true;
      instance->second->changed.notify_all();
      found->second->note_change();
      break;
    case kind::changed:
      if (found == records_.end()) break;  // it is being added
      found->second->state = action.state;
      log_debug("service {} is {}", found->second->name, name_of(found->second->state));
      found->second->note_change();
      break;
    case kind::removed:
      return forget(action.service);
    case kind::gave_up:
      return give_up(*found->second);
    case kind::finished:
      break;
  }
  changed_.notify_all();
}

void service_group::start(service_record& record, instance_id id) {
  auto instance = std::make_shared<service_instance>();
  instance->id = id;
  instances_.emplace(id, instance);
  if (record.current && !record.current->end) {
    ++record.reloads;
  } else {
    record.current = instance;
  }
  ++record.starts;
  tasks_.start(live(records_.at(record.id), std::move(instance)));
}

void service_group::ask(const service_record& record, service_instance& instance) noexcept {
  instance.asked = true;
  if (instance.running) {
    instance.running->ask(record.spec.rules.stop_within);
  } else {
    instance.starting.request_stop();
  }
}

void service_group::kill(service_instance& instance) noexcept {
  instance.killed = true;
  if (instance.running) {
    instance.running->kill();
  } else {
    instance.starting.request_stop();
  }
}

void service_group::give_up(service_record& record) {
  const std::exception_ptr last = record.last ? record.last->why : nullptr;
  failure_ = std::make_exception_ptr(restart_limit(record.name, last ? describe(last) : "it ended", last));
  for (auto& [id, each] : records_) each->given_up = failure_;
  log_debug("service {} ended once too often: its supervisor gives up", record.name);
  if (at_failure_ != nullptr) at_failure_->request_stop();
}

void service_group::collapse() noexcept {
  for (auto& [id, instance] : instances_) kill(*instance);
  if (at_failure_ != nullptr) at_failure_->request_stop();
}

void service_group::forget(service_id id) {
  const auto record = records_.extract(id).mapped();
  record->group = nullptr;
  if (record->entry) record->entry->close();
  if (!record->is_settled()) record->state = service_state::stopped;
  record->note_change();
  if (record->events) record->events->close();
}

/// A timer that fires too early costs less than one that is set anew at each sign of life.
void service_group::rearm() {
  const auto next = machine_.next();
  if (next == clock::time_point::max() || (armed_ && alarm_.due <= next)) return;
  loop_.stop_timer(alarm_);
  armed_ = false;
  alarm_.due = next;
  loop_.start_timer(alarm_);
  armed_ = true;
}

// --- the life of an instance ---

task<> service_group::live(std::shared_ptr<service_record> record,
                           std::shared_ptr<service_instance> instance) {
  try {
    co_await run(record, instance);
  } catch (...) {
    instance->end.emplace();
    instance->end->why = std::current_exception();
    if (instance->running) instance->running->kill();
    record->never_started =
        record->starts == 1 && !instance->running && !instance->asked && !instance->killed;
  }
  instances_.erase(instance->id);
  const bool success = instance->end->success;
  if (record->never_started || !instance->end->success || record->current == instance)
    record->last = instance->end;
  instance->changed.notify_all();
  step([&](supervision& machine) {
    if (record->never_started) machine.remove(record->id, clock::now());
    machine.ended(instance->id, success, clock::now());
  });
}

task<> service_group::run(std::shared_ptr<service_record> record,
                          std::shared_ptr<service_instance> instance) {
  co_await begin(*record, *instance);
  const pid_t pid = instance->running->pid();
  const bool own_process = instance->running->process().has_value();
  if (instance->killed) {
    instance->running->kill();
  } else if (instance->asked) {
    instance->running->ask(record->spec.rules.stop_within);
  }
  if (record->spec.ready_when == readiness::at_start && !record->spec.probe)
    step([&](supervision& machine) { machine.ready(instance->id, clock::now()); });
  if (record->spec.probe) {
    auto both = [&](nursery& n) -> task<> {
      n.start(watch_probe(record, instance));
      instance->end = co_await instance->running->wait();
      n.cancel();
    };
    co_await with_nursery(both);
  } else {
    instance->end = co_await instance->running->wait();
  }
  if (own_process) {
    desk_->read();  // what it said at its end
    desk_->remove(pid);
  }
}

/// Starts it. What it says before its pid is known here is not lost.
task<> service_group::begin(service_record& record, service_instance& instance) {
  if (desk_ == nullptr) desk_ = &loop_.use<notify_desk>();
  desk_->expect();
  const on_exit done([this] { desk_->started(); });
  auto starting = record.spec.body->start(setup_for(record, instance.id));
  starting.set_scope(instance.starting);
  instance.running = co_await std::move(starting);
  if (!instance.running->process()) co_return;
  desk_->read();
  desk_->add(instance.running->pid(), true,
             [this, &record, id = instance.id](const notify_message& message) { hear(record, id, message); });
}

task<> service_group::watch_probe(std::shared_ptr<service_record> record,
                                  std::shared_ptr<service_instance> instance) {
  for (;;) {
    bool ready = false;
    try {
      auto asking = record->spec.probe();
      ready = co_await std::move(asking);
    } catch (const cancelled&) {
      throw;
    } catch (const std::exception& e) {
      log_debug("service {} is not ready: {}", record->name, e.what());
    }
    if (ready) break;
    co_await sleep_for(record->spec.probe_every);
  }
  step([&](supervision& machine) { machine.ready(instance->id, clock::now()); });
}

instance_setup service_group::setup_for(const service_record& record, instance_id id) {
  instance_setup setup;
  setup.name = record.spec.name;
  setup.environment.emplace_back("NOTIFY_SOCKET", desk_->address());
  if (record.spec.rules.watchdog != std::chrono::nanoseconds::max()) {
    const auto limit = std::chrono::duration_cast<std::chrono::microseconds>(record.spec.rules.watchdog);
    setup.environment.emplace_back("WATCHDOG_USEC", std::to_string(limit.count()));
  }
  setup.listening = record.listening;
  setup.ready = [weak = weak_from_this(), id] {
    if (const auto self = weak.lock())
      self->step([&](supervision& machine) { machine.ready(id, clock::now()); });
  };
  return setup;
}

void service_group::hear(service_record& record, instance_id id, const notify_message& message) {
  step([&](supervision& machine) {
    const auto now = clock::now();
    if (message.extend) machine.extend(id, *message.extend, now);
    if (message.watchdog) machine.alive(id, now);
    if (message.ready && record.spec.ready_when == readiness::notified) machine.ready(id, now);
    if (message.stopping) machine.leaves(id, now);
    if (message.trigger) {
      if (const auto found = instances_.find(id); found != instances_.end()) kill(*found->second);
    }
  });
  if (!message.status) return;
  record.status = *message.status;
  record.note_change();
}

}  // namespace brood::detail
