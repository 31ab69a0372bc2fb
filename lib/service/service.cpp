#include "brood/service/service.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "service/service_group.hpp"
#include "service/service_record.hpp"

namespace brood {

restart_limit::restart_limit(const std::string& supervised, const std::string& why, std::exception_ptr last)
    : error(fmt::format("service {} ended more often than its supervisor restarts it; the last time: {}",
                        supervised, why)),
      last_(std::move(last)) {}

namespace detail {
namespace {

// Events that a subscriber may be behind.
constexpr std::size_t kept_events = 64;

service_event event_of(const service_record& record) {
  service_event event;
  event.state = record.state;
  event.pid = record.pid();
  event.restarts = record.restarts();
  const bool runs = record.state == service_state::starting || record.state == service_state::ready;
  if (runs) {
    event.text = record.status;
  } else if (record.last && record.last->why) {
    event.text = describe(record.last->why);
  }
  return event;
}

service_group& group_of(const service_record& record) {
  if (record.group == nullptr)
    throw service_stopped(fmt::format("service {} is not supervised any more", record.name));
  return *record.group;
}

/// Waits until it is ready.
task<> await_ready(std::shared_ptr<service_record> record) {
  while (record->state != service_state::ready) {
    if (record->is_settled()) record->throw_end();
    co_await record->changed.wait();
  }
}

/// It may have ended since then.
task<> await_first_ready(std::shared_ptr<service_record> record) {
  while (!record->was_ready) {
    if (record->is_settled()) record->throw_end();
    co_await record->changed.wait();
  }
}

task<> await_end(std::shared_ptr<service_record> record) {
  while (!record->is_settled()) co_await record->changed.wait();
}

task<> restart_and_wait(std::shared_ptr<service_record> record) {
  const std::size_t before = record->starts;
  group_of(*record).restart(*record);
  while (record->starts == before) {
    if (record->is_settled()) record->throw_end();
    co_await record->changed.wait();
  }
  co_await await_ready(record);
}

task<> reload_and_wait(std::shared_ptr<service_record> record) {
  const auto made = group_of(*record).reload(*record);
  if (made == nullptr)
    throw std::logic_error(fmt::format("brood: service {} cannot reload: it is {}{}", record->name,
                                       name_of(record->state),
                                       record->state == service_state::ready ? " and reloads already" : ""));
  while (!made->ready && !made->end) co_await made->changed.wait();
  if (made->ready) co_return;
  if (made->end->success || made->asked)
    throw service_stopped(record->name + " was stopped while it reloaded");
  std::rethrow_exception(made->end->why);
}

task<> stop_and_wait(std::shared_ptr<service_record> record) {
  if (record->group != nullptr) record->group->stop(*record);
  co_await await_end(record);
}

generator<service_event> follow(std::shared_ptr<service_record> record,
                                broadcast<service_event>::subscriber events) {
  service_event now = event_of(*record);
  co_yield now;
  for (;;) {
    std::optional<service_event> next;
    bool too_slow = false;
    try {
      next = co_await events.next();
    } catch (const lagged&) {
      too_slow = true;
    }
    if (too_slow) continue;
    if (!next) co_return;
    co_yield *next;
  }
}

}  // namespace

void service_record::note_change() {
  changed.notify_all();
  if (events && !events->is_closed()) events->send(event_of(*this));
}

void service_record::throw_end() const {
  if (!never_started && given_up) std::rethrow_exception(given_up);
  if ((never_started || state == service_state::ended) && last && !last->success)
    std::rethrow_exception(last->why);
  throw service_stopped(
      fmt::format("service {} {}", name, state == service_state::ended ? "has ended" : "was stopped"));
}

task<std::span<const std::byte>> service_result(std::shared_ptr<service_record> self) {
  co_await await_end(self);
  if (!self->last || !self->last->success) self->throw_end();
  if (!self->last->process) co_return std::span<const std::byte>();  // a coroutine's
  co_return co_await result_bytes(self->last->process);
}

task<exit_status> service_exit_status(std::shared_ptr<service_record> self) {
  co_await await_end(self);
  if (self->given_up) std::rethrow_exception(self->given_up);
  if (!self->last || !self->last->status) self->throw_end();
  co_return *self->last->status;
}

std::shared_ptr<service_group> open_group(strategy how, restart_intensity limit) {
  return std::make_shared<service_group>(runtime::current(), how, limit);
}

void stop_with(service_group& group, linked_scope* scope) noexcept { group.stop_at_failure(scope); }

task<> close_group(std::shared_ptr<service_group> group) { co_await group->close(); }

void throw_if_given_up(const service_group& group) {
  if (group.failure()) std::rethrow_exception(group.failure());
}

task<std::shared_ptr<service_record>> run_service(std::shared_ptr<service_group> group, service_spec spec) {
  const auto record = group->add(std::move(spec));
  std::exception_ptr failure;
  try {
    co_await await_first_ready(record);
    co_return record;
  } catch (...) {
    failure = std::current_exception();
  }
  if (record->group != nullptr) record->group->remove(*record);
  task_scope uncancelled;
  auto end = await_end(record);
  end.set_scope(uncancelled);
  co_await std::move(end);
  std::rethrow_exception(failure);
}

}  // namespace detail

const std::string& service_handle::name() const noexcept { return record_->name; }
service_state service_handle::state() const noexcept { return record_->state; }
pid_t service_handle::pid() const noexcept { return record_->pid(); }
std::size_t service_handle::restarts() const noexcept { return record_->restarts(); }
const std::string& service_handle::status() const noexcept { return record_->status; }

const brood::address& service_handle::address(std::string_view listener) const {
  for (const auto& each : record_->listening)
    if (listener.empty() || each->name() == listener) return each->where();
  throw std::out_of_range(fmt::format("brood: service {} has no such listener: \"{}\"", name(), listener));
}

std::optional<process_handle> service_handle::current() const {
  if (!record_->current || !record_->current->running) return std::nullopt;
  return record_->current->running->process();
}

task<> service_handle::ready() const { return detail::await_ready(record_); }
task<> service_handle::restart() const { return detail::restart_and_wait(record_); }
task<> service_handle::reload() const { return detail::reload_and_wait(record_); }
task<> service_handle::stop() const { return detail::stop_and_wait(record_); }

generator<service_event> service_handle::events() const {
  if (!record_->events) {
    record_->events = std::make_unique<broadcast<service_event>>(detail::kept_events);
    if (record_->group == nullptr) record_->events->close();
  }
  return detail::follow(record_, record_->events->subscribe());
}

task<> supervisor::join() const { return group_->wait_until_idle(); }

std::vector<service_handle> supervisor::services() const {
  std::vector<service_handle> result;
  for (auto& record : group_->records()) result.emplace_back(std::move(record));
  return result;
}

task<> supervisor::remove(service_handle which) const {
  if (which.record_->group == group_.get()) group_->remove(*which.record_);
  return detail::await_end(which.record_);
}

}  // namespace brood
