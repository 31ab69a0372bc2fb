// services [PROCFILE]: runs what a Procfile names, one service a line, until ^C.
//
//   cache (notify): exec redis-server --port 0 --unixsocket /tmp/cache.sock --supervised systemd
//   web (listen tcp:127.0.0.1:8080): exec python3 server.py
//   worker: while sleep 1; do echo working; done
//
// They start in this order, each when the one before it is ready: at once, or `notify`, when it says so as sd_notify(3) does. What
// ends starts again after pauses that grow. `listen ADDRESS` opens a socket for it, as sd_listen_fds(3) has it. SIGHUP starts
// all of them anew: those that listen beside the old ones, so that nobody is refused. ^C stops them, the last one first.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <brood/brood.hpp>
#include <csignal>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace {

struct entry {
  std::string name;
  std::string command;
  std::string listen;
  bool notify = false;
};

entry parse(const std::string& line) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string::npos) throw std::invalid_argument("no \"NAME: COMMAND\": " + line);
  entry result;
  result.name = line.substr(0, colon);
  result.command = line.substr(colon + 2);
  const std::size_t open = result.name.find(" (");
  if (open == std::string::npos) return result;
  const std::string option = result.name.substr(open + 2, result.name.size() - open - 3);
  result.name.resize(open);
  if (option == "notify") {
    result.notify = true;
  } else if (option.starts_with("listen ")) {
    result.listen = option.substr(7);
  } else {
    throw std::invalid_argument("\"" + option + "\" is neither notify nor listen ADDRESS");
  }
  return result;
}

std::vector<entry> read_procfile(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::system_error(errno, std::system_category(), path);
  std::vector<entry> result;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line.front() != '#') result.push_back(parse(line));
  return result;
}

void say(const std::string& name, const std::string& text) {
  fmt::print("{:10} | {}\n", name, text);
  std::fflush(stdout);
}

brood::task<> show_lines(std::string name, brood::reader from) {
  while (const auto line = co_await from.read_line(4096, brood::long_line::truncate)) say(name, *line);
}

brood::task<> show_events(brood::service_handle service) {
  auto events = service.events();
  while (const auto event = co_await events.next()) {
    std::string text = fmt::format("is {}", brood::name_of(event->state));
    if (event->pid > 0) text += fmt::format(", process {}", event->pid);
    if (!event->text.empty()) text += ": " + event->text;
    say(service.name(), text);
  }
}

/// Where all instances of a service write to.
class output_pipe {
 public:
  output_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    from = brood::reader(brood::unique_fd(ends[0]));
    to = brood::unique_fd(ends[1]);
  }
  brood::reader from;
  brood::unique_fd to;
};

class runner {
 public:
  explicit runner(std::vector<entry> entries) : entries_(std::move(entries)), outputs_(entries_.size()) {}

  brood::task<> run() {
    const brood::signal_watch hangup(brood::runtime::current(), SIGHUP, [this] { hangup_.notify_all(); });
    co_await brood::with_nursery([this](brood::nursery& n) -> brood::task<> {
      showing_ = &n;
      for (std::size_t i = 0; i < entries_.size(); ++i)
        n.start(show_lines(entries_[i].name, outputs_[i].from));
      co_await brood::with_supervisor(brood::strategy::one_for_one,
                                      [this](brood::supervisor& s) -> brood::task<> {
                                        co_await brood::when_any(start_all(s), brood::stop_requested());
                                      });
      for (output_pipe& each : outputs_) each.to.reset();  // then the last lines are shown
    });
  }

 private:
  brood::task<> start_all(brood::supervisor& s) {
    for (std::size_t i = 0; i < entries_.size(); ++i) co_await start(s, entries_[i], outputs_[i].to.get());
    co_await brood::when_any(s.join(), reload_at_hangup());
  }

  brood::task<> start(brood::supervisor& s, const entry& what, int output) {
    auto command =
        brood::command("sh", "-c", what.command).stdin_(brood::null).stdout_(output).stderr_(output);
    auto operation = s.run(std::move(command)).name(what.name);
    if (what.notify) operation = std::move(operation).ready_when(brood::readiness::notified);
    if (!what.listen.empty()) operation = std::move(operation).listen(what.listen);
    auto service = co_await std::move(operation);
    services_.push_back(service);
    showing_->start(show_events(service));
  }

  brood::task<> reload_at_hangup() {
    for (;;) {
      co_await hangup_.wait();
      for (std::size_t i = 0; i < services_.size(); ++i)
        co_await renew(services_[i], !entries_[i].listen.empty());
    }
  }

  static brood::task<> renew(brood::service_handle service, bool listens) {
    try {
      if (listens) {
        co_await service.reload();
      } else {
        co_await service.restart();
      }
    } catch (const brood::cancelled&) {
      throw;
    } catch (const std::exception& e) {
      say(service.name(), std::string("was not reloaded: ") + e.what());
    }
  }

  std::vector<entry> entries_;
  std::vector<output_pipe> outputs_;
  std::vector<brood::service_handle> services_;
  brood::async_event hangup_;
  brood::nursery* showing_ = nullptr;
};

brood::task<int> app(std::vector<std::string> arguments) {
  try {
    runner all(read_procfile(arguments.size() > 1 ? arguments[1] : "Procfile"));
    co_await all.run();
    co_return 0;
  } catch (const brood::cancelled&) {
    throw;
  } catch (const std::exception& e) {
    fmt::print(stderr, "services: {}\n", e.what());
    co_return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  brood::options settings;
  settings.signals = brood::stop_signals::event;
  return brood::run(argc, argv, settings, app);
}
