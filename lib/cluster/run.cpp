#include "brood/cluster/run.hpp"

#include <fmt/core.h>

#include <charconv>
#include <csignal>
#include <map>
#include <stdexcept>
#include <string_view>

#include "brood/runtime/signal_watch.hpp"
#include "cluster/agent.hpp"
#include "cluster/seal.hpp"

namespace brood::cluster::detail {
namespace {

using flags = std::map<std::string, std::string>;

flags read_flags(int argc, char** argv) {
  flags result;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--brood-")) continue;
    if (i + 1 == argc) throw std::invalid_argument("brood: " + std::string(word) + " needs a value");
    result[std::string(word.substr(8))] = argv[++i];
  }
  return result;
}

int number(const flags& given, const std::string& name, int otherwise) {
  const auto found = given.find(name);
  if (found == given.end()) return otherwise;
  int value = 0;
  const std::string& text = found->second;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (wrong != std::errc() || end != text.data() + text.size() || value < 1) {
    throw std::invalid_argument("brood: --brood-" + name + " must be a number of at least 1, not " + text);
  }
  return value;
}

settings settings_of(const flags& given) {
  const auto key = given.find("key");
  if (key == given.end()) throw std::invalid_argument("brood: --brood-join needs --brood-key FILE");
  settings result{.where = brood::address(given.at("join")), .key = key_from_file(key->second)};
  if (const auto name = given.find("cluster"); name != given.end()) result.name = name->second;
  if (const auto user = given.find("user"); user != given.end()) result.user = user->second;
  if (const auto file = given.find("password-file"); file != given.end()) {
    result.password = std::string(as_text(key_from_file(file->second).bytes()));
  }
  result.lease = std::chrono::milliseconds(number(given, "lease", static_cast<int>(result.lease.count())));
  return result;
}

/// The first signal drains, and the default action is back for the second.
struct drain_on_signal {
  drain_on_signal(runtime& loop, agent& whom)
      : terminate(std::in_place, loop, SIGTERM, [this, &whom] { stop(whom); }),
        interrupt(std::in_place, loop, SIGINT, [this, &whom] { stop(whom); }) {}

  void stop(agent& whom) {
    whom.drain();
    terminate.reset();
    interrupt.reset();
  }

  std::optional<signal_watch> terminate;
  std::optional<signal_watch> interrupt;
};

}  // namespace

bool run_host(int argc, char** argv, const options& family, int& code) {
  try {
    const flags given = read_flags(argc, argv);
    if (!given.contains("join")) return false;
    settings chosen = settings_of(given);
    init(argc, argv, family);
    runtime loop;
    agent host(loop, std::move(chosen), number(given, "workers", cpu_count()));
    const drain_on_signal signals(loop, host);
    loop.run_until_complete(host.run());
    code = 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "brood: this host ended: {}\n", e.what());
    code = 1;
  }
  return true;
}

}  // namespace brood::cluster::detail
