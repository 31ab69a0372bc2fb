#include "brood/manager/manager.hpp"

#include <fmt/core.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "brood/channel/pipe.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "manager/client.hpp"
#include "manager/server.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood {
namespace remote {

/// A server that this process started. Shared by the handles of it.
struct running_server {
  std::optional<process<void>> child;
  std::shared_ptr<server> here;
};

namespace {

std::string unguessable_address() {
  std::uint64_t name[2] = {};
  if (sys::getrandom(name, sizeof name) != sizeof name) sys::throw_errno("getrandom");
  return fmt::format("unix:@brood-manager-{:016x}{:016x}", name[0], name[1]);
}

void initialize(const server_settings& settings) {
  if (settings.initializes) detail::entry_of(settings.initializer)(settings.initializer_arguments, [] {});
}

task<> serve(server_settings settings, sender<std::string> ready) {
  server serving(settings);
  const std::string where = serving.where().text();
  co_await ready.send(where);
  ready.close();
  co_await serving.run();
}

/// What the server's process runs.
void serve_in_child(const server_settings& settings, const sender<std::string>& ready) {
  initialize(settings);
  sync_wait(serve(settings, ready));
}

task<> serve_here(std::shared_ptr<server> serving) {
  try {
    co_await serving->run();
  } catch (const cancelled&) {  // the runtime ends, and this with it
  }
}

}  // namespace
}  // namespace remote

// --- manager ---

namespace {

/// Again if the request was lost with its connection: who is waited for must have been told.
constexpr int most_attempts = 3;

task<> ask_to_end(std::shared_ptr<remote::client> home, bool is_waited_for) {
  for (int attempt = 1;; ++attempt) {
    try {
      remote_call asking(remote::request(home, remote::operation::shutdown), remote::to_nothing());
      co_await std::move(asking);
      co_return;
    } catch (const disconnected&) {  // it has ended already, or does so before its answer has left
      if (!is_waited_for || home->found_nobody()) co_return;
      if (attempt == most_attempts) throw;
    }
  }
}

}  // namespace

const std::shared_ptr<remote::client>& manager::home() const {
  if (!home_) throw disconnected("brood: a handle that names no manager");
  return home_;
}

const address& manager::address() const { return home()->where(); }
const authkey& manager::authkey() const { return home()->key(); }

pid_t manager::pid() const noexcept { return server_ && server_->child ? server_->child->pid() : 0; }

remote::passport manager::own_passport() const {
  remote::passport papers;
  papers.address = home()->where().text();
  const auto key = home()->key().bytes();
  if (!remote::is_family_key(home()->key())) papers.key.assign(key.begin(), key.end());
  return papers;
}

manager manager::from_passport(const remote::passport& papers) {
  return manager(remote::find_client(papers), nullptr);
}

task<> manager::shutdown() const {
  auto ending = [](manager self) -> task<> {
    const bool is_child = self.server_ && self.server_->child;
    co_await ask_to_end(self.home(), is_child);
    if (is_child) co_await self.server_->child->join();
  };
  return ending(*this);
}

// --- starting ---

start_manager::start_manager() : settings_(std::make_shared<remote::server_settings>()) {
  settings_->address = remote::unguessable_address();
  settings_->this_user_only =
      true;  // an abstract name can be listed, and reached, by everybody on the machine
}
start_manager::start_manager(start_manager&&) noexcept = default;
start_manager::~start_manager() = default;

start_manager&& start_manager::at(const brood::address& where) && {
  settings_->address = where.text();
  settings_->this_user_only = false;
  return std::move(*this);
}
start_manager&& start_manager::key(const brood::authkey& key) && {
  settings_->key.assign(key.bytes().begin(), key.bytes().end());
  return std::move(*this);
}
start_manager&& start_manager::in_this_process() && {
  here_ = true;
  return std::move(*this);
}
start_manager&& start_manager::allow_remote() && {
  settings_->allow_remote = true;
  return std::move(*this);
}
start_manager&& start_manager::max_message(std::uint64_t limit) && {
  settings_->max_message = limit;
  return std::move(*this);
}
start_manager&& start_manager::max_connections(std::size_t count) && {
  settings_->max_connections = count;
  return std::move(*this);
}
start_manager&& start_manager::max_outstanding(std::size_t count) && {
  settings_->max_outstanding = count;
  return std::move(*this);
}
void start_manager::set_patience(std::chrono::nanoseconds limit) {
  settings_->patience = static_cast<std::uint64_t>(std::max(limit, limit.zero()).count());
}
start_manager&& start_manager::max_unauthenticated(std::size_t count) && {
  settings_->max_unauthenticated = count;
  return std::move(*this);
}
void start_manager::initialize(detail::function_token function, bytes arguments) {
  settings_->initializes = true;
  settings_->initializer = function;
  settings_->initializer_arguments = std::move(arguments);
}

task<manager> start_manager::started(std::shared_ptr<remote::server_settings> settings, bool here) {
  const brood::authkey key = settings->key.empty() ? brood::authkey() : brood::authkey(settings->key);
  auto running = std::make_shared<remote::running_server>();
  std::string where;
  if (here) {
    remote::initialize(*settings);
    running->here = std::make_shared<remote::server>(*settings);
    where = running->here->where().text();
    runtime::current().start(remote::serve_here(running->here));
  } else {
    auto ready = one_way_pipe<std::string>();
    running->child = co_await spawn<remote::serve_in_child>(*settings, ready.second).name("manager").daemon();
    ready.second = {};  // the child's copy alone is left: its end is seen
    const std::optional<std::string> told = co_await ready.first.next();
    if (!told) {
      co_await running->child->result();  // throws
      throw disconnected("brood: the manager ended before it served");
    }
    where = *told;
  }
  co_return manager(remote::client::find(brood::address(where), key), std::move(running));
}

task<manager> connect_manager::connected(brood::address where, brood::authkey key,
                                         std::chrono::nanoseconds deadline) {
  auto home = remote::client::find(where, key);
  co_await home->connected(deadline);
  co_return manager(std::move(home), nullptr);
}

}  // namespace brood
