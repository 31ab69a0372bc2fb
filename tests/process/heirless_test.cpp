// The death of a family's first process while others of the family live on: what it held comes back, and so does what they hold.
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"

namespace {

pid_t pid_in(const std::optional<std::string>& line) {
  INFO(line.value_or("nothing"));
  REQUIRE(line);
  REQUIRE(line->find_first_not_of("0123456789") == std::string::npos);
  return std::stoi(*line);
}

/// The fork servers of a first process that has two waiting children.
std::vector<pid_t> read_servers(helper_program& first) {
  std::vector<pid_t> servers;
  bool all = false;
  for (int waiting = 0; waiting < 2 || !all;) {
    const auto line = first.read_line();
    if (line == "waiting") {
      ++waiting;
    } else if (line == "servers") {
      all = true;
    } else {
      servers.push_back(pid_in(line));
    }
  }
  return servers;
}

/// Each of the two children in turn, when the one before it is killed.
void expect_both_in_turn(helper_program& first) {
  for (int i = 0; i < 2; ++i) kill(pid_in(first.read_line()), SIGKILL);
}

}  // namespace

TEST_CASE("a detached child gets the lock, the permit and the item that the first process was killed with") {
  const orphanage orphans;
  helper_program first("heirless_host", {"all"});
  REQUIRE(first.read_line() == "waiting");
  first.kill(SIGKILL);
  std::set<std::string> said;
  for (int i = 0; i < 3; ++i) said.insert(first.read_line().value_or("nothing"));
  CHECK(said == std::set<std::string>{"an abandoned lock", "a permit", "an item"});
  CHECK(first.wait() == -SIGKILL);
  CHECK(orphans.all_gone());
}

TEST_CASE("a detached child gets what the first process ended with") {
  const orphanage orphans;
  helper_program first("heirless_host", {"return"});
  REQUIRE(first.read_line() == "waiting");
  kill(pid_in(first.read_line()), SIGKILL);
  CHECK(first.wait() == 0);
  CHECK(orphans.all_gone());
}

TEST_CASE("a detached grandchild gets the lock that its parent held when it died with the first process") {
  const orphanage orphans;
  helper_program first("heirless_host", {"below"});
  REQUIRE(first.read_line() == "waiting");
  first.kill(SIGKILL);
  kill(pid_in(first.read_line()), SIGKILL);
  CHECK(first.wait() == -SIGKILL);
  CHECK(orphans.all_gone());
}

TEST_CASE("a detached child gets what another one held that was killed after the first process") {
  const orphanage orphans;
  helper_program first("heirless_host", {"two"});
  read_servers(first);
  first.kill(SIGKILL);
  expect_both_in_turn(first);
  CHECK(first.wait() == -SIGKILL);
  CHECK(orphans.all_gone());
}

TEST_CASE("where one fork server is killed with the first process, or after it, the other one cleans up") {
  for (const bool after : {false, true}) {
    for (const std::size_t killed : {0u, 1u}) {
      const orphanage orphans;
      helper_program first("heirless_host", {"two"});
      const auto servers = read_servers(first);
      if (servers.size() < 2) return;  // of a model without heirs
      if (!after) kill(servers[killed], SIGKILL);
      first.kill(SIGKILL);
      const pid_t holder = pid_in(first.read_line());
      if (after) kill(servers[killed], SIGKILL);
      kill(holder, SIGKILL);
      kill(pid_in(first.read_line()), SIGKILL);
      CHECK(first.wait() == -SIGKILL);
      CHECK(orphans.all_gone());
    }
  }
}
