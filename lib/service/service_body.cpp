// The three things that a service can run: a function, a program, a coroutine of this process.
#include "brood/service/detail/service_body.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "brood/coroutine/detail/scope.hpp"
#include "brood/process/spawn.hpp"
#include "process/child.hpp"
#include "service/listening.hpp"

namespace brood::detail {
namespace {

// SD_LISTEN_FDS_START
constexpr int first_passed = 3;

class running_process : public running_instance {
 public:
  explicit running_process(std::shared_ptr<child> made) : child_(std::move(made)), handle_(child_) {}
  pid_t pid() const noexcept override { return handle_.is_alive() ? handle_.pid() : 0; }
  std::optional<process_handle> process() const override { return handle_; }
  void ask(std::chrono::nanoseconds limit) noexcept override { child_->ask_to_stop(limit); }
  void kill() noexcept override {
    try {
      kill_or_give_up(handle_);
    } catch (const std::exception&) {
      // Without memory there is nothing left to try.
    }
  }

 protected:
  std::shared_ptr<child> child_;
  brood::process<void> handle_;
};

class running_function final : public running_process {
 public:
  using running_process::running_process;

  task<instance_end> wait() override {
    instance_end end;
    end.status = co_await handle_.join();
    end.process = child_;
    try {
      co_await result_bytes(child_);
      end.success = true;
      end.why = std::make_exception_ptr(child_died(handle_.name(), handle_.pid(), *end.status));
    } catch (...) {
      end.why = std::current_exception();
    }
    co_return end;
  }
};

class running_program final : public running_process {
 public:
  using running_process::running_process;

  task<instance_end> wait() override {
    instance_end end;
    end.status = co_await handle_.join();
    end.success = end.status->success();
    end.why = std::make_exception_ptr(child_died(handle_.name(), handle_.pid(), *end.status));
    co_return end;
  }
};

class running_coroutine final : public running_instance {
 public:
  explicit running_coroutine(task<> body) : body_(std::move(body)) {}
  pid_t pid() const noexcept override { return getpid(); }
  void ask(std::chrono::nanoseconds) noexcept override { scope_.request_stop(); }
  void kill() noexcept override { scope_.request_stop(); }

  task<instance_end> wait() override {
    instance_end end;
    body_.set_scope(scope_);
    try {
      co_await std::move(body_);
      end.success = true;
      end.why = std::make_exception_ptr(error("it returned"));
    } catch (...) {
      end.why = std::current_exception();
    }
    co_return end;
  }

 private:
  linked_scope scope_{nullptr};
  task<> body_;
};

/// The child behind a program's handle.
struct program_child : program {
  explicit program_child(const program& handle) : program(handle) {}
  const std::shared_ptr<child>& get() const noexcept { return child_; }
};

/// Objects that are gone meanwhile stay gone: the function is told when it opens one.
void hold(std::vector<held_reference>& into, const std::vector<std::shared_ptr<shared_object>>& objects) {
  for (const auto& object : objects) into.emplace_back(object->name(), object->kind());
}

/// The size of what follows, and the sockets.
bytes with_listeners(const std::vector<std::shared_ptr<listening_socket>>& sockets,
                     std::vector<held_reference>& objects) {
  travelling_objects travelling;
  std::vector<shared_listener> shared;
  for (const auto& socket : sockets) {
    socket->set_blocking(false);
    shared.push_back(socket->shared());
  }
  const bytes encoded = encode(shared);
  hold(objects, travelling.objects());
  const std::uint64_t size = encoded.size();
  bytes result(sizeof size);
  std::memcpy(result.data(), &size, sizeof size);
  result.insert(result.end(), encoded.begin(), encoded.end());
  return result;
}

class function_maker final : public service_body {
 public:
  function_maker(launch_plan plan, service_call call) : plan_(std::move(plan)), call_(std::move(call)) {}

  task<std::unique_ptr<running_instance>> start(instance_setup setup) override {
    launch_plan plan = plan_;
    if (plan.name.empty()) plan.name = setup.name;
    for (auto& [name, value] : setup.environment) plan.options.env.emplace_back(name, value);
    function_call call{call_.function, {}, {}};
    call.arguments = with_listeners(setup.listening, call.objects);
    call.arguments.insert(call.arguments.end(), call_.arguments.begin(), call_.arguments.end());
    hold(call.objects, call_.objects);
    auto child = co_await launch_function(std::move(plan), std::move(call));
    co_return std::make_unique<running_function>(std::move(child));
  }

 private:
  launch_plan plan_;
  service_call call_;
};

/// As sd_listen_fds(3) has it; the child adds LISTEN_PID, as it alone knows its number.
void name_sockets(command& program, const std::vector<std::shared_ptr<listening_socket>>& sockets) {
  std::string names;
  int number = first_passed;
  for (const auto& socket : sockets) {
    if (socket->name().find(':') != std::string::npos)
      throw std::invalid_argument("brood: the name of a program's socket holds no colon: " + socket->name());
    names += (names.empty() ? "" : ":") + socket->name();
    program.fd(number++, socket->fd());
  }
  program.env("LISTEN_FDS", std::to_string(sockets.size()));
  program.env("LISTEN_FDNAMES", names);
}

class program_maker final : public service_body {
 public:
  explicit program_maker(command program) : command_(std::move(program)) {}

  task<std::unique_ptr<running_instance>> start(instance_setup setup) override {
    command program = command_;
    if (!setup.name.empty()) program.name(setup.name);
    for (auto& [name, value] : setup.environment) program.env(name, value);
    if (!setup.listening.empty()) pass_sockets(program, setup.listening);
    auto starting = std::move(program).spawn();
    auto running = co_await std::move(starting);
    co_return std::make_unique<running_program>(program_child(running).get());
  }
  std::string default_name() const override {
    return command_.words().empty() ? std::string() : command_.words().front();
  }

 private:
  void pass_sockets(command& program, const std::vector<std::shared_ptr<listening_socket>>& sockets) {
    for (const auto& [number, own] : command_access::plan(program).descriptors)
      if (number >= first_passed && static_cast<std::size_t>(number - first_passed) < sockets.size())
        throw std::invalid_argument(
            fmt::format("brood: descriptor {} is for a socket of `.listen`: give `.fd` another", number));
    // Once: while a service reloads two instances share the setting, and the older one may have made it non-blocking.
    if (!std::exchange(passed_, true))
      for (const auto& socket : sockets) socket->set_blocking(true);
    name_sockets(program, sockets);
  }

  command command_;
  bool passed_ = false;
};

class coroutine_maker final : public service_body {
 public:
  explicit coroutine_maker(std::function<task<>(std::function<void()>)> make) : make_(std::move(make)) {}

  task<std::unique_ptr<running_instance>> start(instance_setup setup) override {
    auto body = make_(std::move(setup.ready));
    co_return std::make_unique<running_coroutine>(std::move(body));
  }

 private:
  std::function<task<>(std::function<void()>)> make_;
};

}  // namespace

service_body::~service_body() = default;

std::span<const std::byte> enter_service(std::span<const std::byte> encoded) {
  std::uint64_t size = 0;
  if (encoded.size() < sizeof size) throw argument_error("a service's arguments are cut off");
  std::memcpy(&size, encoded.data(), sizeof size);
  encoded = encoded.subspan(sizeof size);
  if (encoded.size() < size) throw argument_error("a service's arguments are cut off");
  try {
    listeners_of_process() = decode<std::vector<shared_listener>>(encoded.first(size));
  } catch (const decode_error& e) {
    throw argument_error(e.what());
  }
  return encoded.subspan(size);
}

std::shared_ptr<service_body> function_body(launch_plan plan, service_call call) {
  if (plan.options.detached)
    throw std::invalid_argument("brood: a detached process outlives its parent, and cannot be a service");
  return std::make_shared<function_maker>(std::move(plan), std::move(call));
}

std::shared_ptr<service_body> program_body(command program) {
  return std::make_shared<program_maker>(std::move(program));
}

std::shared_ptr<service_body> coroutine_body(std::function<task<>(std::function<void()>)> run) {
  return std::make_shared<coroutine_maker>(std::move(run));
}

}  // namespace brood::detail
